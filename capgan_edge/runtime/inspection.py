"""What is in a bundle, said to people in tables and to machines as one JSON object; the graph is never loaded."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.manifest import Figure, ParityRecord


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
    """Print the bundle for people: identity, files, parity, figures."""
    _print_identity(bundle, console)
    manifest = bundle.manifest
    files = _table("files (every size and sha256 verified)", "name", "precision", "opset", "bytes", "sha256")
    for name, record in manifest.files.items():
        artifact = manifest.artifacts.get(name)
        kind = ("", "") if artifact is None else (artifact.precision, str(artifact.opset))
        files.add_row(Text(name), *kind, f"{record.size_bytes:,}", record.sha256[:16])
    console.print(files)
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
