"""A verification printed for people: the structure line by line, then a table for each artifact."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from capgan_edge.runtime.card import CardCheck
from capgan_edge.runtime.card_check import FAILS_AT, LAXER, ONNX_RUNTIME, TENSORRT
from capgan_edge.runtime.manifest import Figure
from capgan_export.gate.judging import Judged
from capgan_export.gate.report import CANNOT_RUN, PASSED, REGRESSION, Report


def print_report(report: Report, console: Console) -> None:
    """Print structure, artifacts and the verdict of all."""
    for check in report.structure.checks:
        _say(console, f"{check.verdict:>8}  {check.name}: {check.detail}")
    if report.trial is not None:
        held = report.trial.held
        counts = ", ".join(f"{len(kind)} {kind.title}" for kind in held.kinds)
        _say(console, f"against {held.twin}, on {held.data}: {counts}")
    for judged in report.judged:
        _print_judged(judged, console)
    if report.is_written:
        _say(console, f"wrote the cards and thresholds into {report.structure.bundle}")
    _say(console, _conclusion(report))


def _conclusion(report: Report) -> str:
    """Return the last line, which is what a person reads: also what nothing is known of."""
    verdicts = {PASSED: ["passed"], REGRESSION: ["FAILED"], CANNOT_RUN: []}[report.exit_code]
    unjudged = [f"not judged: {', '.join(report.not_judged)}"] if report.not_judged else []
    return "; ".join(verdicts + unjudged)


def _print_judged(judged: Judged, console: Console) -> None:
    if judged.card is None:
        _say(console, f"{judged.verdict}  {_title(judged)}: {judged.reason}")
        return
    table = Table(title=Text(f"{_title(judged)}: {judged.verdict}"), title_justify="left")
    for column in ("check", "value", "95 % interval", "limit", "would fail at", "n", ""):
        table.add_column(column, overflow="fold")
    known = judged.card.settings.get(FAILS_AT)
    held_against = known if isinstance(known, dict) else {}
    for check in judged.card.checks:
        fails_at = held_against.get(check.name, "")
        limit = f"{'<=' if check.comparison == 'at most' else '>='} {check.limit:.6g}"
        table.add_row(Text(check.name), _value(check), _interval(check.interval_95), limit, _fails_at(check, fails_at),
                      str(check.n), _verdict(check, fails_at))  # fmt: skip
    console.print(table)
    laxer = judged.card.settings.get(LAXER)
    if isinstance(laxer, list) and laxer:
        _say(console, f"  laxer than the shipped gates, so that --require-card does not take it: "
                      f"{', '.join(map(str, laxer))}")  # fmt: skip
    for figure in judged.figures:
        _say(console, f"  {_figure(figure)}")
    threshold = judged.threshold
    if threshold is None:
        _say(console, f"  no suspicion threshold: {judged.untuned}")
        return
    asked, measured = 100 * threshold.false_alarm_rate, 100 * threshold.measured_rate
    _say(
        console,
        f"  suspicion threshold {threshold.threshold:.4g}: {asked:g} % false alarms asked for, {measured:.2f} % on the "
        f"half of {threshold.n} clean frames that it was not tuned on",
    )


def _title(judged: Judged) -> str:
    where = "" if judged.runtime in (ONNX_RUNTIME, TENSORRT) else f" in {judged.runtime}"
    return f"{judged.artifact} ({judged.precision}){where}"


def _fails_at(check: CardCheck, fails_at: object) -> str:
    """Return the mildest value that would have failed on these frames, or why none would."""
    if not isinstance(fails_at, float):
        return str(fails_at)
    return f"{'>=' if check.comparison == 'at most' else '<='} {fails_at:.4g}"


def _verdict(check: CardCheck, fails_at: object) -> Text:
    if not check.passed:
        return Text("FAILED", style="bold red")
    if isinstance(fails_at, str) and fails_at:
        return Text("cannot fail", style="yellow")
    return Text("passed", style="green")


def _value(check: CardCheck) -> str:
    unit = f" {check.unit}" if check.unit in ("%", "points", "frames") else ""
    return f"{check.value:.4g}{unit}"


def _interval(interval_95: tuple[float, float] | None) -> str:
    return "" if interval_95 is None else f"{interval_95[0]:.2f} to {interval_95[1]:.2f}"


def _figure(figure: Figure) -> str:
    twin = figure.settings.get("twin_percent")
    beside = f"; the twin {twin:.2f} %" if isinstance(twin, float) else ""
    return f"{figure.name}: {figure.value:.2f} % ({_interval(figure.interval_95)}, n = {figure.n}){beside}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
