"""Peers are told from the newest record that has others' libraries, with the ratio to the fastest purified artifact."""

from __future__ import annotations

from pathlib import Path

from test_goals import row, rows, speed

from capgan_benchmarks.latency.peers_table import peers_table
from capgan_benchmarks.latency.record import write_record


def test_the_newest_record_with_other_peoples_peers_is_told(tmp_path: Path) -> None:
    art = row("art-jpeg", "peer", 6, 8, runtime="art")
    for day, name, held in (("2026-01-01", "old", (*rows(1), row("hgd", "peer", 50, 50))),
                            ("2026-01-02", "peers", (*rows(1), art)), ("2026-01-03", "plain", rows(1))):  # fmt: skip
        write_record(tmp_path / f"latency-cifar10-nano-single-stream-1-{name}_x.json", speed(rows=held, date=day))
    said = peers_table(tmp_path)
    assert "| peer, batch 1 | ms | over m8, openvino | |" in said
    assert "| art-jpeg | 7.00 | 3.50 [3.00, 4.00] |" in said
    assert "| torch-eager |" in said
    assert "hgd" not in said
    assert "2026-01-02" in said


def test_without_a_record_the_command_is_named(tmp_path: Path) -> None:
    assert "--against all" in peers_table(tmp_path)
