"""A latency record for people: a row a contestant, the price of the defence, peers, and the roof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_benchmarks.latency.record import LatencyRecord, Ratio, Row
from capgan_benchmarks.latency.sample import Summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_record(record: LatencyRecord, console: Console, *, earlier: LatencyRecord | None = None) -> None:
    """Print all of it; beside `earlier` also how each median has changed."""
    protocol = record.protocol
    for batch in protocol.batches:
        rows = [row for row in record.rows if row.batch == batch]
        console.print(_rows_table(rows, f"milliseconds a query of {batch}, {protocol.threads} threads"))
        misses = ", ".join(
            f"{row.name}: {', '.join(_miss(row.end_to_end))}" for row in rows if any(_miss(row.end_to_end))
        )
        console.print(f"deadlines missed: {misses or 'none of 33, 50 and 100 ms'}", markup=False, highlight=False)
        for kind, title in (("price", "the price of the defence"), ("against", "how much longer than what ships")):
            _say_ratios([each for each in record.ratios if (each.kind, each.batch) == (kind, batch)], title, console)
    if record.roof:
        console.print(_roof_table(record))
    for each in record.not_run:
        console.print(f"not run: {each.name}: {each.why}", markup=False, highlight=False)
    for note in dict.fromkeys(f"{row.name}: {row.note}" for row in record.rows if row.note):
        console.print(f"note: {note}", markup=False, highlight=False)
    if earlier is not None:
        _say_changes(record, earlier, console)


def _rows_table(rows: list[Row], title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in ("", "n", "min", "p50", "p90", "p95", "p99", "p99.9", "mean", "CoV %", "engine", "host", "frames/s"):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")
    for row in rows:
        held = row.end_to_end
        values = (held.min_ms, held.p50_ms, held.p90_ms, held.p95_ms, held.p99_ms, held.p99_9_ms, held.mean_ms,
                  held.cov_percent, row.engine.p50_ms, row.host.p50_ms)  # fmt: skip
        table.add_row(Text(row.name), str(held.n), *map(_number, values), f"{held.frames_per_s:.0f}")
    return table


def _roof_table(record: LatencyRecord) -> Table:
    from rich.table import Table
    from rich.text import Text

    said = ", ".join(f"{each.kind} {each.value / 1e9:.3g} {'GB/s' if each.kind == 'copy' else 'GMAC/s'}"
                     for each in record.ceilings)  # fmt: skip
    table = Table(title=f"share of the roof ({said})", title_justify="left")
    for name in ("", "batch", "MMAC", "of them INT8", "MB moved", "roof ms", "bound by", "share %"):
        table.add_column(name, justify="left" if not name else "right")
    for each in record.roof:
        millions = (f"{value / 1e6:.1f}" for value in (each.macs, each.int8_macs, each.moved_bytes))
        share = (_number(each.roof_ms), each.bound, f"{each.percent:.0f}")
        table.add_row(Text(each.name), str(each.batch), *millions, *share)
    return table


def _say_ratios(ratios: list[Ratio], title: str, console: Console) -> None:
    for each in ratios:
        console.print(
            f"{title}: {each.name} takes {each.value:.2f} times as long as {each.reference} "
            f"({each.low:.2f} to {each.high:.2f} over {each.num_rounds} rounds)",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _say_changes(record: LatencyRecord, earlier: LatencyRecord, console: Console) -> None:
    before = {(row.name, row.batch): row.end_to_end.p50_ms for row in earlier.rows}
    for row in record.rows:
        was_ms = before.get((row.name, row.batch))
        if was_ms is None:
            continue
        change = 100 * (row.end_to_end.p50_ms / was_ms - 1) if was_ms > 0 else 0.0
        console.print(f"batch {row.batch}, {row.name}: p50 {_number(was_ms)} ms then, "
                      f"{_number(row.end_to_end.p50_ms)} ms now ({change:+.1f} %)",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def _miss(held: Summary) -> list[str]:
    return [f"{100 * each.share:.1f} % over {each.deadline_ms:.0f} ms" for each in held.misses if each.share > 0]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
