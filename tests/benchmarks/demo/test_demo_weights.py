"""Where `--train` trains: an interrupted run is gone on with, a finished one is never overwritten."""

from __future__ import annotations

from pathlib import Path

from capgan_benchmarks.demo.weights import next_run_path


def test_a_finished_run_is_left_and_an_unfinished_one_is_taken_up(tmp_path: Path) -> None:
    assert next_run_path("signs-nano", tmp_path).name == "demo-signs-nano-1"
    unfinished = tmp_path / "demo-signs-nano-1" / "purifier"
    unfinished.mkdir(parents=True)
    assert next_run_path("signs-nano", tmp_path) == unfinished.parent
    (unfinished / "last.json").write_text("{}")
    (unfinished / "finished.json").write_text('{"kind": "purifier"}')
    assert next_run_path("signs-nano", tmp_path).name == "demo-signs-nano-2"
