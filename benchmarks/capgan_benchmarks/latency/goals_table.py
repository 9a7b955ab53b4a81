"""The goals of speed as Markdown for README and docs/latency.md: each with its figure, met or not, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from capgan_benchmarks.latency.goal_limits import limit_of
from capgan_benchmarks.latency.goals import Figure, Finding, judge
from capgan_benchmarks.latency.newest import SpeedRecords, newest_speed_records


def goals_table(records: SpeedRecords | None = None) -> str:
    """Return a row a goal, and a line on where the figures are from."""
    records = newest_speed_records() if records is None else records
    lines = ["| goal | wanted | measured | met |", "|---|---|---|---|"]
    lines += [_line(finding) for finding in judge(records)]
    return "\n".join([*lines, "", _origin(records)])


def goals_section(records: SpeedRecords | None = None) -> str:
    """Return the table, why goals were missed, and the profiles."""
    records = newest_speed_records() if records is None else records
    parts = [goals_table(records)]
    missed = [
        (finding, limit_of(finding, records)) for finding in judge(records) if finding.verdict in ("no", "in part")
    ]
    said = [f"- {finding.goal.what}: {limit}." for finding, limit in missed if limit is not None]
    if said:
        parts.append("Why goals are missed, from the same records:\n\n" + "\n".join(said))
    if records.profiles:
        parts.append(_profiles(records))
    return "\n\n".join(parts)


def _line(finding: Finding) -> str:
    goal = finding.goal
    wanted = f"{'>=' if goal.is_least else '<='} {goal.bound:g} {goal.unit}"
    measured = finding.why_not or "; ".join(_figure(figure, goal.unit) for figure in finding.figures)
    return f"| {goal.what} | {wanted} | {measured} | {finding.verdict} |"


def _figure(figure: Figure, unit: str) -> str:
    value = f"{figure.value:.0f} %" if unit == "%" else f"{figure.value:.2f}"
    spread = "" if figure.low is None else f" [{figure.low:.2f}, {figure.high:.2f}]"
    return f"{value}{spread} ({figure.what})"


def _origin(records: SpeedRecords) -> str:
    """Say which machine and day each record is from; batch 1 unless a goal says otherwise."""
    held = [(f"batch {batch}: {record.protocol.threads} threads, n >= {min(row.end_to_end.n for row in record.rows)}",
             record.environment, record.date)
            for batch, record in sorted(records.latency.items()) if batch in (1, 64)]  # fmt: skip
    if records.training is not None:
        protocol = records.training["protocol"]
        held.append((f"training: batch {protocol['batch_size']}, {protocol['num_rounds']} rounds",
                     records.training["environment"], records.training["date"]))  # fmt: skip
    if records.cold is not None:
        n = min(row.n for row in records.cold.rows)
        held.append((f"cold start: n = {n}", records.cold.environment, records.cold.date))
    return f"{_joined(held)} In brackets the lowest and the highest round, or process." if held else "No record yet."


def _joined(held: Iterable[tuple[str, dict[str, Any], str]]) -> str:
    return " ".join(f"{what}, {environment['cpu']}, {date[:10]}." for what, environment, date in held)


def _profiles(records: SpeedRecords) -> str:
    lines = ["| artifact, engine | batch | operator | n | time % | arithmetic % |", "|---|---|---|---|---|---|"]
    for record in records.profiles:
        for part in record.kinds[:5]:
            lines.append(f"| {record.artifact}, {record.runtime} | {record.batch} | {part.name} | {part.count} | "
                         f"{part.time_percent:.1f} | {part.macs_percent:.1f} |")  # fmt: skip
    return "Where the time goes (`capgan-edge benchmark profile`), the five longest kinds:\n\n" + "\n".join(lines)
