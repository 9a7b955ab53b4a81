"""The tables at the end of a benchmark: one a threat model, then worst cases, flips, detection, self-checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.pace import time_text
from capgan_benchmarks.robustness.record import (
    CLEAN,
    Alarm,
    Cell,
    Counted,
    Detection,
    RobustnessRecord,
    Score,
    Worst,
    cells_of,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLOURS = {"passed": "green", "failed": "bold red", "not run": "yellow"}


def print_record(record: RobustnessRecord, console: Console) -> None:
    """Print a record for people."""
    data = record.data
    names = [system.name for system in record.systems]
    console.print(_table_of("clean images", [record.cells[0]], names))
    for threat in record.threats:
        table = _table_of(f"{threat.name}: gradient by {threat.gradient_by}", cells_of(record, [threat.name]), names)
        table.caption = threat.knows
        console.print(table)
    for printed in (_worst(record), _flips(record), _detections(record), _checks(record)):
        if printed is not None:
            console.print(printed)
    for each in record.not_tested:
        console.print(f"not tested: {each.what}: {each.why}", markup=False, highlight=False)
    console.print(
        f"{record.subject}: {data.name}, n={data.n} of {data.num_available}, seed {record.seed}, tier {record.tier}, "
        f"{time_text(record.seconds)}; accuracy in percent with 95 % intervals (Wilson)", markup=False, highlight=False,
    )  # fmt: skip


def _table_of(title: str, cells: Sequence[Cell], systems: Sequence[str]) -> Table:
    """Return accuracies, attack by epsilon down, systems across; those that the threat is about are bold."""
    table = _table(title, ("attack", "epsilon"), (*systems, "n", "queries (median)", "seconds"))
    for cell in cells:
        is_clean = cell.scenario == CLEAN
        figures = [_accuracy(cell.score_of(name), is_bold=name in cell.targets and not is_clean) for name in systems]
        lost = f" ({cell.num_lost_queries} lost)" if cell.num_lost_queries else ""
        cost = ("", "") if is_clean else (f"{cell.queries.median:g}{lost}", f"{cell.seconds:.1f}")
        name = ", ".join(filter(None, (cell.attack, cell.confidence, cell.distance)))
        table.add_row(_safe(name), "" if is_clean else epsilon_text(cell.epsilon), *figures, str(cell.n), *cost)
    return table


def _accuracy(score: Score | None, *, is_bold: bool) -> str:
    if score is None:
        return "-"
    text = _percent(score)
    return f"[bold]{text}[/]" if is_bold else text


def _percent(figure: Score | Worst | Counted) -> str:
    low, high = figure.interval_95
    return f"{figure.percent:.1f} ({low:.1f}-{high:.1f})"


def _worst(record: RobustnessRecord) -> Table | None:
    if not record.worst:
        return None
    table = _table(
        "worst case: right clean and under every attack", ("system", "threat models", "epsilon"), ("accuracy", "n")
    )
    for each in record.worst:
        where = each.scenarios[0] if len(each.scenarios) == 1 else f"all {len(each.scenarios)}"
        table.add_row(_safe(each.system), where, epsilon_text(each.epsilon), _percent(each), str(each.n))
    return table


def _flips(record: RobustnessRecord) -> Table | None:
    if not record.flips:
        return None
    table = _table("labels that differ between artifacts", ("artifact", "against", "frames", "epsilon"),
                   ("flipped, percent", "n", "p (McNemar)"))  # fmt: skip
    for each in record.flips:
        low, high = each.interval_95
        frames = CLEAN if each.scenario == CLEAN else f"{each.attack} ({each.scenario})"
        table.add_row(_safe(each.other), _safe(each.reference), _safe(frames),
                      "" if each.scenario == CLEAN else epsilon_text(each.epsilon),
                      f"{each.percent:.1f} ({low:.1f}-{high:.1f})", str(each.n), f"{each.p_value:.3g}")  # fmt: skip
    return table


def _detections(record: RobustnessRecord) -> Table | None:
    """Return what suspicion finds: of the targets, and of every artifact, since it is these that ship."""
    artifacts = {system.name for system in record.systems if system.kind == "artifact"}
    held = [(cell, each) for cell in cells_of(record) for each in cell.detections
            if each.system in artifacts.union(cell.targets)]  # fmt: skip
    if not held:
        return None
    table = _table("suspicion: what fools and is not noticed", ("system", "attack, threat", "epsilon", "alarms"),
                   ("fools, no alarm", "found of what fools", "found of all", "ROC-AUC",
                    "clean + attacked (fooling)"))  # fmt: skip
    for cell, each in held:
        table.add_row(_safe(each.system), _safe(f"{cell.attack}\n{cell.scenario}"), epsilon_text(cell.epsilon),
                      "1 %\n5 %", *_found(each), f"{each.roc_auc:.3f}",
                      f"{each.num_clean} + {each.num_attacked} ({each.num_fooling})")  # fmt: skip
    return table


def _found(detection: Detection) -> tuple[str, str, str]:
    """Return shares at 1 % false alarms above those at 5 %."""
    alarms: tuple[Alarm, ...] = (detection.at_1, detection.at_5)
    of_fooling = [each.detected_of_fooling for each in alarms]
    return (
        "\n".join(_percent(each.unnoticed) for each in alarms),
        "\n".join("-" if share is None else _percent(share) for share in of_fooling),
        "\n".join(_percent(each.detected) for each in alarms),
    )


def _checks(record: RobustnessRecord) -> Table | None:
    if not record.checks:
        return None
    table = _table("self-checks: does the benchmark find what it must?", ("check", "state", "expected", "came"), ())
    for check in record.checks:
        table.add_row(_safe(check.name), f"[{_COLOURS[check.state]}]{check.state}[/]", _safe(check.expected),
                      _safe(check.came))  # fmt: skip
    return table


def _table(title: str, texts: Sequence[str], figures: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=_safe(title), title_justify="left", caption_justify="left")
    for name in texts:
        table.add_column(_safe(name), overflow="fold")
    for name in figures:
        table.add_column(_safe(name), justify="right", overflow="fold")
    return table


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)
