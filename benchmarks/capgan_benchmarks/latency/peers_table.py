"""What a user would pick instead, as Markdown: the peers of the newest record that has those of others' libraries."""

from __future__ import annotations

from pathlib import Path

from capgan_benchmarks.latency.goals import fastest, named, ratio, rows_of
from capgan_benchmarks.latency.newest import RESULTS, SUBJECT
from capgan_benchmarks.latency.record import LatencyRecord, Row, read_record

_OTHERS = ("art-", "hgd", "ape-gan")
"""How the names of peers begin that are not ours and not of the same networks in another engine."""


def peers_table(folder: Path = RESULTS, *, subject: str = SUBJECT) -> str:
    """Return, for each batch size, every peer's median and how often the fastest purified artifact's goes into it."""
    parts = []
    for batch, record in sorted(_newest_with_others(folder, subject).items()):
        best = fastest(record, batch)
        lines = [f"| peer, batch {batch} | ms | over {named(best)} | |", "|---|---|---|---|"]
        lines += [_line(row, best) for row in rows_of(record, batch, "peer")]
        parts.append("\n".join([*lines, "", _origin(record, batch, best)]))
    return "\n\n".join(parts) or "No record yet: capgan-edge benchmark latency BUNDLE --against all"


def _newest_with_others(folder: Path, subject: str) -> dict[int, LatencyRecord]:
    found: dict[int, LatencyRecord] = {}
    records = (read_record(path) for path in folder.glob(f"latency-{subject}-single-stream-*_*.json"))
    for record in sorted(records, key=lambda each: each.date):
        if any(row.role == "peer" and row.name.startswith(_OTHERS) for row in record.rows):
            found |= dict.fromkeys(record.protocol.batches, record)
    return found


def _line(row: Row, best: Row) -> str:
    held = ratio(row.name, row, best)
    cells = [row.name, f"{row.end_to_end.p50_ms:.2f}", f"{held.value:.2f} [{held.low:.2f}, {held.high:.2f}]"]
    return f"| {' | '.join([*cells, row.note or ''])} |"


def _origin(record: LatencyRecord, batch: int, best: Row) -> str:
    n = min(row.end_to_end.n for row in rows_of(record, batch, "peer"))
    return (f"{named(best)} itself takes {best.end_to_end.p50_ms:.2f} ms. {record.environment['cpu']}, "
            f"{record.protocol.threads} threads, n >= {n}, {record.date[:10]}, code {record.code}; in brackets the "
            "lowest and the highest round.")  # fmt: skip
