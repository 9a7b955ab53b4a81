"""Cards, thresholds and figures into the manifest: the newest of an artifact on a runtime replaces the older ones."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import RUNTIME, runtime_of, usual_runtime
from capgan_edge.runtime.growth import grow_bundle
from capgan_edge.runtime.manifest import SCHEMA_VERSION, Figure, Manifest
from capgan_export.gate.judging import MADE_BY, Judged


def record_verdicts(bundle: Bundle, verdicts: Sequence[Judged]) -> Bundle:
    """Write what was judged into a bundle that is `locked`, failed cards too; what was not judged keeps its card.

    So does what was judged on another runtime, unless its bytes have changed since.

    Raises:
        CapganError: the bundle cannot be written; nothing changed.
    """
    made = [judged for judged in verdicts if judged.verdict != "not made"]
    if not made:
        return bundle
    manifest = bundle.manifest
    cards = [card for card in manifest.cards if not _is_replaced(card, manifest, made)]
    thresholds = [threshold for threshold in manifest.thresholds if not _is_replaced(threshold, manifest, made)]
    figures = [figure for figure in manifest.figures if not _is_figure_replaced(figure, manifest, made)]
    for judged in made:
        cards += [judged.card] if judged.card is not None else []
        thresholds += [judged.threshold] if judged.threshold is not None else []
        figures += judged.figures
    grown = manifest.model_copy(update={"schema_version": SCHEMA_VERSION, "cards": tuple(cards),
                                        "thresholds": tuple(thresholds), "figures": tuple(figures)})  # fmt: skip
    return grow_bundle(bundle, grown, {})


def _is_replaced(record: RobustnessCard | SuspicionThreshold, manifest: Manifest, made: Sequence[Judged]) -> bool:
    runtime = runtime_of(record, manifest)
    return any(
        judged.artifact == record.artifact and (judged.runtime == runtime or judged.sha256 != record.artifact_sha256)
        for judged in made
    )


def _is_figure_replaced(figure: Figure, manifest: Manifest, made: Sequence[Judged]) -> bool:
    if figure.settings.get("made_by") != MADE_BY:
        return False
    artifact, sha256 = figure.settings.get("artifact"), figure.settings.get("artifact_sha256")
    runtime = figure.settings.get(RUNTIME) or usual_runtime(manifest, str(artifact))
    return any(
        judged.artifact == artifact and (judged.runtime == runtime or judged.sha256 != sha256) for judged in made
    )
