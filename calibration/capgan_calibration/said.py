"""The result of a calibration, said to people in lines and a table, and to machines as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from capgan_calibration.adding import ARTIFACT, AddedInt8
from capgan_export.gate.statistics import wilson_interval

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from capgan_calibration.layers import KeptLayer
    from capgan_calibration.sensitivity import LeftOut, Sensitivity

_NUM_ROWS = 20
"""Layers shown to people; machines get all."""
_NUM_NAMES = 4
"""Layers named to people for each reason to stay."""


def say_result(added: AddedInt8, *, is_json: bool) -> None:
    """Print what was made, on what, what stayed in floating point and why, and how it holds."""
    if is_json:
        typer.echo(json.dumps(json_of(added), indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(soft_wrap=True)
    for line in lines_of(added):
        console.print(line, markup=False, highlight=False)
    if added.sensitivity is not None:
        _print_sensitivity(added.sensitivity, console)
    if added.left_out is not None:
        for line in _lines_of_left_out(added.left_out):
            console.print(line, markup=False, highlight=False)


def json_of(added: AddedInt8) -> dict[str, Any]:
    """Return the result as plain values."""
    manifest = added.bundle.manifest
    return {
        "bundle": str(added.bundle.path),
        "artifact": ARTIFACT,
        "sha256": manifest.files[ARTIFACT].sha256,
        "record": manifest.artifacts[ARTIFACT].model_dump(mode="json"),
        "parity": [record.model_dump(mode="json") for record in added.parity],
        "quantised": [layer.name for layer in added.graph.quantised],
        "ranges_from_cache": added.ranges.is_cached,
        "warnings": list(added.warnings),
    }


def lines_of(added: AddedInt8) -> list[str]:
    """Return the result as lines."""
    calibration, size = added.calibration, added.bundle.manifest.files[ARTIFACT].size_bytes
    kinds = ", ".join(f"{100 * share:.3g} % {kind}" for kind, share in calibration.mixture.items())
    where = "from the cache" if added.ranges.is_cached else "measured now"
    lines = [
        f"calibrated on {calibration.n} frames of {calibration.data}: {kinds}; seed {calibration.seed}, "
        f"sha256 {calibration.sha256[:12]}...",
        f"ranges: {added.ranges.key.method}, {where}",
        f"quantised {len(added.graph.quantised)} layers; in floating point stay {len(added.graph.kept)}:",
        *_lines_of_kept(added.graph.kept),
    ]
    for record in added.parity:
        low, high = wilson_interval(round(record.top1_agreement * record.n), record.n)
        lines.append(
            f"on {record.n} {record.frames} frames the label of FP32 stays on {100 * record.top1_agreement:.1f} % "
            f"(95 %: {100 * low:.1f} to {100 * high:.1f}), logits off by {record.max_abs_logits:.2g} (at most "
            f"{record.tolerance:.2g}), suspicion by {record.settings['max_abs_suspicion']:.2g}"
        )
    return [*lines, f"wrote {added.bundle.path / ARTIFACT}: {size:,} bytes"]


def _lines_of_kept(kept: Sequence[KeptLayer]) -> list[str]:
    """Return a line a reason, with the layers that it keeps."""
    names_of: dict[str, list[str]] = {}
    for layer in kept:
        names_of.setdefault(layer.reason, []).append(layer.name)
    lines = []
    for reason, names in names_of.items():
        more = f" and {len(names) - _NUM_NAMES} more" if len(names) > _NUM_NAMES else ""
        lines.append(f"  {', '.join(names[:_NUM_NAMES])}{more}: {reason}")
    return lines


def _print_sensitivity(ranking: Sensitivity, console: Console) -> None:
    console.print(_score_table(ranking))
    verb = "lost by quantising it alone" if ranking.mode == "only" else "won by leaving it out alone"
    verb += ", the rest as it ships, against FP32"
    table = _table(f"layers by robustness: points of accuracy {verb}", "layer", "robust", "clean", "scores (nats)")
    for effect in ranking.effects[:_NUM_ROWS]:
        table.add_row(effect.layer, f"{effect.robust_points:+.2f}", f"{effect.clean_points:+.2f}",
                      f"{effect.divergence:+.1e}")  # fmt: skip
    console.print(table)
    if len(ranking.effects) > _NUM_ROWS:
        console.print(f"and {len(ranking.effects) - _NUM_ROWS} more, in the manifest and with --json", highlight=False)


def _score_table(ranking: Sensitivity) -> Table:
    table = _table("every layer in INT8 against FP32", "frames", "n", "FP32 %", "INT8 %", "points lost", "95 %")
    for fp32, int8 in zip(ranking.fp32.drops, ranking.int8.drops, strict=True):
        table.add_row(int8.kind, str(int8.n), _accuracy(fp32.accuracy_percent, fp32.accuracy_95),
                      _accuracy(int8.accuracy_percent, int8.accuracy_95), f"{int8.points:+.2f}",
                      f"{int8.points_95[0]:+.2f} to {int8.points_95[1]:+.2f}")  # fmt: skip
    return table


def _accuracy(percent: float, interval: tuple[float, float]) -> str:
    return f"{percent:.1f} ({interval[0]:.1f} to {interval[1]:.1f})"


def _lines_of_left_out(left_out: LeftOut) -> list[str]:
    if not left_out.layers:
        return ["the limits hold with every layer quantised: none was left out for them"]
    lost = ", ".join(f"{drop.kind} {drop.points:+.2f}" for drop in left_out.score.drops)
    return [
        *(f"left out {held.layer}: bought {held.robust_points:+.2f} points of robust and {held.clean_points:+.2f} of "
          "clean accuracy" for held in left_out.layers),
        f"points lost now: {lost}",
    ]  # fmt: skip


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
