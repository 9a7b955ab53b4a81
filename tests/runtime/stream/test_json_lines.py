"""Events as JSON lines: to files, to pipes whose reader goes or sleeps, and to standard output."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from watching import made_event

from capgan_edge.errors import CapganError
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.json_lines import JsonLines
from capgan_edge.runtime.stream.sink import Output


def test_json_lines_are_one_object_an_event_with_the_same_keys(events: list[Event], tmp_path: Path) -> None:
    lines = JsonLines(str(tmp_path / "events.jsonl"))
    for event in events:
        lines.write(event)
    lines.close()
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(rows) == len(events)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert {row["schema"] for row in rows} == {1}
    frame = next(row for row in rows if row["verdicts"])
    assert frame["verdicts"][0]["box"] == {"left": 0, "top": 0, "right": 64, "bottom": 48}
    assert set(frame["latency"]) == {"capture_ms", "resize_ms", "inference_ms", "post_ms"}
    assert "frame_HWC" not in frame
    assert [row["error"] for row in rows if row["error"]] == ["the engine failed in call 3"]


def test_a_full_disk_under_json_lines_is_an_output_that_failed() -> None:
    output = Output("--jsonl", JsonLines("/dev/full"))
    assert output.write(made_event()) is True
    assert "No space left" in (output.reason or "")
    assert output.write(made_event()) is False
    output.close()
    assert (output.state, output.num_lost) == ("failed", 1)


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CapganError, match="nobody reads that pipe; start its reader first"):
        JsonLines(str(tmp_path / "pipe"))


def test_the_reader_of_a_pipe_gets_whole_lines_until_it_goes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output = Output("--jsonl", JsonLines(str(tmp_path / "pipe")))
    assert [output.write(made_event()) for _ in range(3)] == [False] * 3
    rows = [json.loads(line) for line in os.read(reader, 1 << 16).decode().splitlines()]
    assert [row["frame_number"] for row in rows] == [0, 0, 0]
    os.close(reader)
    assert output.write(made_event()) is True
    assert "has gone" in (output.reason or "")
    assert output.close() is False


def test_a_reader_that_takes_nothing_is_an_output_that_failed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output = Output("--jsonl", JsonLines(str(tmp_path / "pipe"), patience_s=0.05))
    for _ in range(10_000):  # far more than a pipe holds
        if output.write(made_event()):
            break
    os.close(reader)
    assert output.reason is not None
    assert "took nothing for 0.05 s" in output.reason
    output.close()


def test_a_broken_pipe_ends_the_program_where_it_is_standard_output_alone() -> None:
    class Gone:
        def write(self, event: Event) -> None:
            raise BrokenPipeError

        def close(self) -> None:
            """Nothing is open."""

    assert Output("metrics", Gone()).write(made_event()) is True
    with pytest.raises(BrokenPipeError):
        Output("--jsonl", Gone(), is_stdout=True).write(made_event())
