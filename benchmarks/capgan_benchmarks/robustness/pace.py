"""How long a plan takes: from what its jobs cost on paper, and from what the batches so far took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from capgan_benchmarks.robustness.planning import Job


@dataclass(kw_only=True)
class Pace:
    """Images that are left of each job, and the seconds that an image takes, measured where it was."""

    jobs: Sequence[Job]
    _num_left: list[int] = field(init=False)
    _timed: dict[tuple[str, str, str | None], tuple[int, float]] = field(default_factory=dict)
    _num_passes: float = 0.0
    _seconds: float = 0.0

    def __post_init__(self) -> None:
        self._num_left = [job.n for job in self.jobs]

    def note(self, index: int, num_images: int, seconds: float | None) -> None:
        """Take down a batch of job `index`; seconds None where it cost nothing."""
        job = self.jobs[index]
        self._num_left[index] -= num_images
        if seconds is None:
            return
        n, before_s = self._timed.get(_kind(job), (0, 0.0))
        self._timed[_kind(job)] = (n + num_images, before_s + seconds)
        self._num_passes += num_images * job.passes
        self._seconds += seconds

    @property
    def is_known(self) -> bool:
        """Whether anything was timed yet."""
        return self._num_passes > 0

    @property
    def is_measured(self) -> bool:
        """Whether each attack that is left had a batch timed; else `left_s` takes some at full length on paper."""
        return all(_kind(job) in self._timed for job, left in zip(self.jobs, self._num_left, strict=True) if left)

    @property
    def left_text(self) -> str:
        """What is left for people: attacks stop early, so what was not timed yet is said as the most it takes."""
        return f"{'about' if self.is_measured else 'at most about'} {time_text(self.left_s)}"

    @property
    def left_s(self) -> float:
        """Seconds that what is left will take: by the same attack's pace where it was timed, else by its passes."""
        return sum(left * self._seconds_per_image(job) for job, left in zip(self.jobs, self._num_left, strict=True))

    def _seconds_per_image(self, job: Job) -> float:
        n, seconds = self._timed.get(_kind(job), (0, 0.0))
        if n:
            return seconds / n
        return job.passes * self._seconds / self._num_passes if self._num_passes else 0.0


def _kind(job: Job) -> tuple[str, str, str | None]:
    return job.scenario, job.attack, job.artifact


def time_text(seconds: float) -> str:
    """Return a time for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
