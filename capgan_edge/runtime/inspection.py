"""What is in a bundle, said to people in tables and to machines as one JSON object; the graph is never loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import runtime_of
from capgan_edge.runtime.manifest import EngineRecord, Figure, Manifest, ParityRecord


def inspect_bundle(path: Path, *, is_json: bool) -> None:
    """Verify the bundle at `path` and say what is in it."""
    bundle = Bundle.open(path)
    if is_json:
        typer.echo(json.dumps(describe_bundle(bundle), indent=2, allow_nan=False))
    else:
        print_bundle(bundle, Console())


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest, and the verdict on the hashes, ready for JSON."""
    return {
        "bundle": str(bundle.path),
        "verified": True,  # a bundle that is not never opens
        "precisions": list(bundle.precisions),
        "total_bytes": sum(record.size_bytes for record in bundle.manifest.files.values()),
        "manifest": bundle.manifest.model_dump(mode="json"),
    }


def print_bundle(bundle: Bundle, console: Console) -> None:
    """Print the bundle for people: identity, files, engines, cards, thresholds, parity, figures."""
    _print_identity(bundle, console)
    manifest = bundle.manifest
    files = _table("files (every size and sha256 verified)", "name", "precision", "opset", "bytes", "sha256")
    for name, record in manifest.files.items():
        artifact = manifest.artifacts.get(name)
        kind = ("", "") if artifact is None else (artifact.precision, str(artifact.opset))
        files.add_row(Text(name), *kind, f"{record.size_bytes:,}", record.sha256[:16])
    console.print(files)
    _print_engines(manifest, console)
    _print_cards(manifest, console)
    parity = _table("parity", "artifact", "against", "frames", "n", "seed", "max |logit|", "top-1 agrees", "passed")
    for check in manifest.parity:
        parity.add_row(*_parity_row(check))
    console.print(parity if manifest.parity else "parity: none on record")
    figures = _table("figures", "name", "value", "95 % interval", "n", "seed", "data", "device", "settings")
    for figure in manifest.figures:
        figures.add_row(*_figure_row(figure))
    console.print(figures if manifest.figures else "figures: none on record")


def _print_identity(bundle: Bundle, console: Console) -> None:
    manifest = bundle.manifest
    purifier, victim = manifest.purifier, manifest.victim
    facts = {
        "bundle": f"{bundle.path} (schema {manifest.schema_version}, created {manifest.created})",
        "input": f"uint8 RGB [N, {manifest.input.height}, {manifest.input.width}, 3]",
        "outputs": ", ".join(output.name for output in manifest.outputs),
        "labels": f"{len(manifest.labels)}: {', '.join(manifest.labels)}",
        "purifier": f"{purifier.name}, preset {purifier.preset}, {_cost(purifier.macs, purifier.parameters)}",
        "victim": f"{victim.name}, {_cost(victim.macs, victim.parameters)}",
        "tools": ", ".join(f"{name} {version}" for name, version in manifest.tools.items()) or "none on record",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)


def _print_engines(manifest: Manifest, console: Console) -> None:
    engines = _table("engines", "name", "precision", "built by", "targets", "of the graph")
    for name, engine in manifest.engines.items():
        targets = ", ".join(engine.targets) or "the machine that built it"
        built_by = f"{engine.flavour} {engine.version}"
        engines.add_row(Text(name), engine.precision, Text(built_by), Text(targets), _source_of(engine, manifest))
    console.print(engines if manifest.engines else "engines: none")


def _source_of(engine: EngineRecord, manifest: Manifest) -> Text:
    """Name the graph that an engine was built from, by its hash: the graph may have been replaced since."""
    names = (name for name in manifest.artifacts if manifest.files[name].sha256 == engine.source_sha256)
    return Text(next(names, "OLDER than those here: build it again"))


def _print_cards(manifest: Manifest, console: Console) -> None:
    cards = _table("robustness cards", "artifact", "of these bytes", "runtime", "made", "data", "device", "checks",
                   "passed")  # fmt: skip
    for card in manifest.cards:
        held = [check.passed for check in card.checks]
        texts = [Text(text) for text in (runtime_of(card, manifest), card.created, card.data, card.device)]
        cards.add_row(Text(card.artifact), _is_of(card, manifest), *texts, f"{sum(held)} of {len(held)} passed",
                      "yes" if card.passed else "NO")  # fmt: skip
    console.print(cards if manifest.cards else "robustness cards: none")
    columns = ("artifact", "of these bytes", "runtime", "threshold", "false alarms asked", "measured", "n", "data")
    thresholds = _table("suspicion thresholds", *columns)
    for held_to in manifest.thresholds:
        rates = (f"{held_to.threshold:.4f}", *(f"{100 * rate:.2f} %" for rate in _rates(held_to)), str(held_to.n))
        thresholds.add_row(Text(held_to.artifact), _is_of(held_to, manifest), Text(runtime_of(held_to, manifest)),
                           *rates, Text(held_to.data))  # fmt: skip
    console.print(thresholds if manifest.thresholds else "suspicion thresholds: none")


def _is_of(record: RobustnessCard | SuspicionThreshold, manifest: Manifest) -> str:
    file = manifest.files.get(record.artifact)
    return "yes" if file is not None and file.sha256 == record.artifact_sha256 else "NO"


def _rates(threshold: SuspicionThreshold) -> tuple[float, float]:
    return threshold.false_alarm_rate, threshold.measured_rate


def _cost(macs: int | None, parameters: int | None) -> str:
    def said(count: int | None) -> str:
        return "an unknown number of" if count is None else f"{count:,}"

    return f"{said(macs)} MACs a frame, {said(parameters)} parameters"


def _parity_row(check: ParityRecord) -> list[str | Text]:
    worst = f"{check.max_abs_logits:.2e} (at most {check.tolerance:.0e})"
    names = [Text(name) for name in (check.artifact, check.against, check.frames)]
    passed = "yes" if check.passed else "NO"
    return [*names, str(check.n), str(check.seed), worst, f"{100 * check.top1_agreement:.2f} %", passed]


def _figure_row(figure: Figure) -> list[str | Text]:
    interval = "" if figure.interval_95 is None else f"{figure.interval_95[0]:.4g} to {figure.interval_95[1]:.4g}"
    settings = ", ".join(f"{name}={value}" for name, value in figure.settings.items())
    value = f"{figure.value:.4g} {figure.unit}"
    seed = "" if figure.seed is None else str(figure.seed)
    texts = [Text(text) for text in (figure.data, figure.device, settings)]
    return [Text(figure.name), Text(value), interval, str(figure.n), seed, *texts]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
