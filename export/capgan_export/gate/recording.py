"""Cards, thresholds and figures into the manifest: the newest of an artifact replaces the older ones."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle
from capgan_edge.runtime.manifest import SCHEMA_VERSION, Figure
from capgan_export.gate.judging import MADE_BY, Judged


def record_verdicts(bundle: Bundle, verdicts: Sequence[Judged]) -> Bundle:
    """Write what was judged into a bundle that is `locked`, failed cards too; what was not judged keeps its card.

    Raises:
        CapganError: the bundle cannot be written; nothing changed.
    """
    made = [judged for judged in verdicts if judged.verdict != "not made"]
    if not made:
        return bundle
    manifest, replaced = bundle.manifest, {judged.artifact for judged in made}
    cards = [card for card in manifest.cards if card.artifact not in replaced]
    thresholds = [threshold for threshold in manifest.thresholds if threshold.artifact not in replaced]
    figures = [figure for figure in manifest.figures if not _is_of(figure, replaced)]
    for judged in made:
        cards += [judged.card] if judged.card is not None else []
        thresholds += [judged.threshold] if judged.threshold is not None else []
        figures += judged.figures
    grown = manifest.model_copy(update={"schema_version": SCHEMA_VERSION, "cards": tuple(cards),
                                        "thresholds": tuple(thresholds), "figures": tuple(figures)})  # fmt: skip
    return grow_bundle(bundle, grown, {})


def _is_of(figure: Figure, artifacts: set[str]) -> bool:
    return figure.settings.get("made_by") == MADE_BY and figure.settings.get("artifact") in artifacts
