"""The camera loop for minutes: a looped video at its own pace, every verdict checked, memory watched."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from capgan_benchmarks.endurance.answers import Kind, tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.footage import FPS, KnownVideo, sign_video
from capgan_benchmarks.endurance.memory import MemoryWatch
from capgan_benchmarks.endurance.neighbours import others_since_now
from capgan_benchmarks.endurance.over_time import over_time
from capgan_benchmarks.endurance.process import PATIENCE_S, Process, camera_loop, ended_after
from capgan_benchmarks.endurance.soak_record import CameraSoak
from capgan_edge.errors import CapganError

_NUM_FRAMES = 120
"""Of the video: four seconds."""


@dataclass(slots=True)
class Seen:
    """What the events said."""

    kind_of: Callable[[dict[str, Any]], Kind]
    """What the verdict of a frame's event is."""
    changes: list[str] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    ages: list[tuple[float, float]] = field(default_factory=list)
    uncounted: int = 0
    missing: int = 0
    num_events: int = 0
    last: dict[str, Any] = field(default_factory=dict)

    def take(self, row: dict[str, Any], at_s: float) -> None:
        """Check one event; a frame of which no event tells must at least be counted as dropped."""
        self.missing = max(self.missing, row["number"] - self.num_events)
        self.num_events += 1
        self.last = row
        if row["kind"] == "source":
            self.changes.append(row["source_state"])
            return
        counts = row["counts"]
        self.uncounted = max(self.uncounted, row["frame_number"] + 1 - counts["frames"] - counts["dropped"])
        self.ages.append((at_s, row["age_ms"]))
        self.kinds.append(self.kind_of(row))


def soak_camera(bench: Bench, seconds: float, sample_s: float) -> CameraSoak:
    """Run the loop for `seconds` from its first frame, then end it with SIGTERM.

    Raises:
        CapganError: it does not start, hangs, or does not end.
    """
    known = KnownVideo(bench, sign_video(bench, _NUM_FRAMES))
    seen = Seen(known.kind_of)
    with (
        camera_loop(bench, "--source", str(known.path), "--loop", "--vote", "1") as process,
        ended_after(process, 2 * PATIENCE_S + seconds),
    ):
        rows = _rows(process)
        for row in rows:
            seen.take(row, 0.0)
            if row["kind"] == "frame":
                break
        else:
            raise CapganError(f"expected the camera loop to run, but it ended: {process.wait().err.strip()[-300:]}")
        began_s = time.monotonic()
        others = others_since_now(process.pid)
        with MemoryWatch(process.pid, sample_s) as watch:
            for row in rows:
                seen.take(row, time.monotonic() - began_s)
                if time.monotonic() - began_s >= seconds:
                    break
            length_s = time.monotonic() - began_s
        others_processors = others()
        process.popen.send_signal(signal.SIGTERM)
        for row in rows:  # what it still had in hand
            seen.take(row, length_s)
        code = process.wait().code
    counts = seen.last["counts"]
    return CameraSoak(minutes=length_s / 60, fps=FPS, num_video_frames=len(known), frames=counts["frames"],
                      dropped=counts["dropped"], uncounted=seen.uncounted, missing_events=seen.missing,
                      errors=counts["errors"], source_changes=tuple(seen.changes), verdicts=tally_of(seen.kinds),
                      age=over_time(seen.ages, length_s), memory=watch.memory(),
                      others_processors=others_processors, exit_code=code)  # fmt: skip


def _rows(process: Process) -> Iterator[dict[str, Any]]:
    for line in process.lines():
        yield json.loads(line)
