"""The record of a soak: what was asked of loop and server, what came, and how their memory moved."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import FiniteFloat

from capgan_benchmarks.endurance.answers import Tally
from capgan_benchmarks.endurance.memory import Memory
from capgan_benchmarks.endurance.over_time import OverTime, Percentiles
from capgan_edge.runtime.fields import Count, Date, Listed, Name, Record

_MOST_REFUSED = 0.01
"""Share of the questions; the queue takes seconds of work, which chance alone does not fill."""


class CameraSoak(Record):
    """`capgan-edge run` on a looped video."""

    minutes: FiniteFloat
    """As measured, from the first frame."""
    fps: FiniteFloat
    num_video_frames: Count
    """Of one turn of the loop; each shows another sign."""
    frames: Count
    """That got an event."""
    dropped: Count
    """That a newer one replaced: counted and told, not lost."""
    uncounted: Count
    """That were captured, got no event and were not counted as dropped."""
    missing_events: Count
    """Numbers that the events left out."""
    errors: Count
    source_changes: Listed[Name]
    """All that the source was said to be; `connecting`, `live` where nothing happened to it."""
    verdicts: Tally
    age: OverTime
    """From a frame's arrival to its event."""
    memory: Memory
    others_processors: FiniteFloat
    """That other processes used meanwhile, on average: they make frames older."""
    exit_code: int
    """After SIGTERM."""

    @property
    def problems(self) -> list[str]:
        """What is not as it must be."""
        said: dict[str, object] = {
            f"{self.uncounted} frames vanished uncounted": self.uncounted,
            f"{self.missing_events} events are missing": self.missing_events,
            f"{self.errors} frames failed": self.errors,
            f"verdicts: {self.verdicts.mixed} mixed, {self.verdicts.wrong} wrong, {self.verdicts.lost} lost":
                not self.verdicts.is_clean,
            "no frame was processed": not self.frames,
            "memory grows": self.memory.grows,
            f"exit code {self.exit_code} after SIGTERM": self.exit_code,
        }  # fmt: skip
        return [f"camera loop: {text}" for text, is_so in said.items() if is_so]


class ServerSoak(Record):
    """`capgan-edge serve` under open-loop load."""

    minutes: FiniteFloat
    num_clients: Count
    """Of the closed loop that measured the capacity."""
    capacity_seconds: FiniteFloat
    capacity_per_s: FiniteFloat
    """Results a second; the client shares the processors."""
    capacity_after_per_s: FiniteFloat
    """The same, behind the load: far less, and the machine was not the same any more."""
    others_processors: FiniteFloat
    """That other processes used during the load, on average: they take from the capacity."""
    load_percent: FiniteFloat
    """Of the capacity."""
    rate_per_s: FiniteFloat
    """Of the Poisson process."""
    answers: Tally
    answers_in_burst: Tally
    """As many questions at once as the server holds, before all else: some are refused, none may be lost."""
    answers_in_closed_loop: Tally
    latency: OverTime
    """From when a question was scheduled to its answer; of those with a result."""
    delay: Percentiles | None
    """Of it, our own lateness in sending."""
    memory: Memory
    exit_code: int
    """After SIGTERM."""

    @property
    def problems(self) -> list[str]:
        """What is not as it must be."""
        parts = {"open loop": self.answers, "closed loop": self.answers_in_closed_loop, "burst": self.answers_in_burst}
        said: dict[str, object] = {
            f"{name}: {tally.mixed} mixed, {tally.wrong} wrong, {tally.lost} lost": not tally.is_clean
            for name, tally in parts.items()
        }
        said |= {
            "no question was answered": not self.answers.right,
            self._refused_said: self.answers.refused > _MOST_REFUSED * self.answers.asked,
            "memory grows": self.memory.grows,
            f"exit code {self.exit_code} after SIGTERM": self.exit_code,
        }
        return [f"server: {text}" for text, is_so in said.items() if is_so]

    @property
    def _refused_said(self) -> str:
        """A server that is loaded to 70 % has room: either its capacity was not what was measured, or it wastes it."""
        return (f"{self.answers.refused} of {self.answers.asked} refused at {self.load_percent:.0f} % of its capacity "
                f"({self.capacity_per_s:.0f}/s before, {self.capacity_after_per_s:.0f}/s afterwards; others used "
                f"{self.others_processors:.2f} processors)")  # fmt: skip


class SoakRecord(Record):
    """All of it."""

    schema_version: Literal[1] = 1
    kind: Literal["soak"] = "soak"
    date: Date
    code: Name
    environment: dict[str, Any]
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    command: Name
    arguments: Listed[str]
    bundle: dict[str, str]
    """What was run: artifact, hash, precision, backend."""
    seed: int
    settings: dict[str, Any]
    camera: CameraSoak | None
    """None where none was asked for."""
    server: ServerSoak | None

    @property
    def problems(self) -> list[str]:
        """What is not as it must be; empty where the soak is passed, as far as it was long enough to judge memory."""
        return [text for part in (self.camera, self.server) if part is not None for text in part.problems]

    @property
    def verdict(self) -> str:
        """One line for people; a run too short to judge memory is not said to have passed on it."""
        if self.problems:
            return f"not passed: {'; '.join(self.problems)}"
        parts = [part for part in (self.camera, self.server) if part is not None]
        if all(part.memory.grows is False for part in parts):
            return "passed: no growth of memory, nothing lost, nothing mixed up"
        return "passed: nothing lost, nothing mixed up; too short a run to judge memory"
