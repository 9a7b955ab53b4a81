"""What happens when a verdict would come too late: hold the last one, bypass the purifier, or stop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, Protocol

from capgan_edge.runtime.stream.config import StreamConfig
from capgan_edge.runtime.stream.passes import Found, Job, Passes
from capgan_edge.runtime.stream.worker import Running, Worker

_GOODBYE_S = 1.0
"""How long a pass that is still running is waited for at the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a policy made of one frame."""

    found: Found | None
    """None: too late for this frame; what is known is held."""
    state: Literal["active", "bypassed", "held"]
    is_missed: bool = False


class Policy(Protocol):
    """Run the passes of one loop, frame by frame, and keep to its deadline."""

    def run(self, job: Job) -> Outcome:
        """Return what is known of a frame; raises what its pass raised, and EngineHungError where one does not end."""

    def late(self, job: Job) -> tuple[Job, Found] | None:
        """Return a pass that was too late for its own frame, if it ends while there is still time for this one.

        Called before `run` of the same job; each late pass is returned once, and raises here what it raised.
        """

    def close(self) -> None:
        """Give a pass that is still running a moment to end."""


def policy_of(config: StreamConfig, passes: Passes, worker: Worker) -> Policy:
    """Return the policy that the configuration names; all its passes are the worker's."""
    if config.deadline_ms is None:
        return _Punctual(passes, worker, float("inf"))
    deadline_s = config.deadline_ms / 1000
    if config.on_deadline_miss == "hold":
        return _Hold(passes, worker, deadline_s)
    if config.on_deadline_miss == "bypass":
        return _Bypass(passes, worker, deadline_s, config.bypass_frames)
    return _Punctual(passes, worker, deadline_s)


class _Punctual:
    """Run every pass to its end, and say where it was late: no deadline, or the policy to stop."""

    def __init__(self, passes: Passes, worker: Worker, deadline_s: float) -> None:
        self._passes, self._worker, self._deadline_s = passes, worker, deadline_s

    def run(self, job: Job) -> Outcome:
        found = self._worker.finished(self._worker.begin(lambda: self._passes.purified(job)))
        return Outcome(found=found, state="active", is_missed=found.done_s - job.arrived_s > self._deadline_s)

    def late(self, job: Job) -> tuple[Job, Found] | None:
        return None

    def close(self) -> None:
        """Nothing runs beside."""


class _Bypass:
    """After a miss leave the purifier out for some frames, then try it again.

    The pass that missed is late and purified, so its verdict is given, marked as missed.
    """

    def __init__(self, passes: Passes, worker: Worker, deadline_s: float, num_frames: int) -> None:
        self._passes, self._worker = passes, worker
        self._deadline_s, self._num_frames = deadline_s, num_frames
        self._num_left = 0

    def run(self, job: Job) -> Outcome:
        is_bypassed = self._num_left > 0
        classify = self._passes.unpurified if is_bypassed else self._passes.purified
        found = self._worker.finished(self._worker.begin(lambda: classify(job)))
        is_missed = found.done_s - job.arrived_s > self._deadline_s
        if is_bypassed:
            self._num_left -= 1
        elif is_missed:
            self._num_left = self._num_frames
        return Outcome(found=found, state="bypassed" if is_bypassed else "active", is_missed=is_missed)

    def late(self, job: Job) -> tuple[Job, Found] | None:
        return None

    def close(self) -> None:
        """Nothing runs beside."""


class _Hold:
    """Answer at the deadline, whatever the engine does: its pass goes on beside, and what it finds is held next."""

    def __init__(self, passes: Passes, worker: Worker, deadline_s: float) -> None:
        self._passes, self._worker, self._deadline_s = passes, worker, deadline_s
        self._pending: tuple[Job, Running[Found]] | None = None

    def run(self, job: Job) -> Outcome:
        if self._pending is not None:
            return Outcome(found=None, state="held", is_missed=True)
        running = self._worker.begin(lambda: self._passes.purified(job))
        self._pending = job, running
        if not running.wait(self._left_s(job)):
            return Outcome(found=None, state="held", is_missed=True)
        self._pending = None
        return Outcome(found=running.result(), state="active")

    def late(self, job: Job) -> tuple[Job, Found] | None:
        if self._pending is None:
            return None
        begun, running = self._pending
        if not running.wait(self._left_s(job)):
            self._worker.refuse_hung(running)
            return None
        self._pending = None
        return begun, running.result()

    def close(self) -> None:
        if self._pending is not None:
            self._pending[1].wait(_GOODBYE_S)

    def _left_s(self, job: Job) -> float:
        return job.arrived_s + self._deadline_s - time.monotonic()
