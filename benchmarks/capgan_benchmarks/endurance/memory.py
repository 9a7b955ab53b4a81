"""Resident memory of a process over time, and whether it grows."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from pydantic import FiniteFloat

from capgan_benchmarks.endurance.slope import LEAST_SAMPLES, Slope, fit_slope
from capgan_edge.errors import MissingDependencyError
from capgan_edge.runtime.fields import Count, Listed, Record

_SETTLING_SHARE = 0.2
"""Of the run, at its start: caches fill, and thread pools and allocators reach their size."""
_LEAST_JUDGED_S = 240.0
"""Behind that: in less, the end of a warm-up cannot be told from a leak."""
_LEAST_RISE_MIB = 1.0
"""What Python's allocator takes at once. A leak of one small object (48 bytes) a frame rises by more in 13 minutes."""
_LATE_SHARE = 0.25
"""Of the rise that must come in the second half of what is judged: a leak's is a half, what levels off has less."""
_NUM_POINTS = 120
"""Of the figure."""
_MIB = float(1 << 20)
_HOUR_S = 3600.0


class Memory(Record):
    """What is said of the resident memory of one process; slope and verdict leave out its warm-up."""

    n: Count
    started_mib: FiniteFloat
    """The first sample; from here to `first_mib` is warm-up."""
    warm_up_s: FiniteFloat
    """The first fifth of the run."""
    first_mib: FiniteFloat
    """Behind the warm-up."""
    last_mib: FiniteFloat
    largest_mib: FiniteFloat
    slope_mib_per_hour: FiniteFloat | None
    """None where there are too few samples."""
    slope_interval_95: Listed[FiniteFloat] | None
    rise_mib: FiniteFloat | None
    """By the slope, from the end of the warm-up to the end of the run."""
    late_rise_mib: FiniteFloat | None
    """The same, of the second half of that time alone."""
    grows: bool | None
    """The whole interval is above zero, the rise is at least 1 MiB, and a quarter of it or more is late: else it is
    noise, or levels off. None where the run was too short to tell."""
    over_time: Listed[tuple[FiniteFloat, FiniteFloat]]
    """Seconds and MiB, thinned out for the figure."""

    @property
    def slope_said(self) -> str:
        """The slope in words, with its interval, and what it comes to."""
        if self.slope_mib_per_hour is None or self.slope_interval_95 is None:
            return "too few samples for a slope"
        low, high = self.slope_interval_95
        verdict = {None: "too short a run to tell growth from warm-up", True: "grows", False: "no growth"}[self.grows]
        return f"slope {self.slope_mib_per_hour:+.2f} MiB/h, 95 % interval [{low:+.2f}, {high:+.2f}]: {verdict}"


class MemoryWatch:
    """Sample a process until it is left, or the process ends."""

    def __init__(self, pid: int, every_s: float) -> None:
        try:
            import psutil  # type: ignore[import-untyped]  # comes with KServe
        except ImportError as error:
            raise MissingDependencyError("psutil", "watching memory", "serve") from error
        self._process, self._every_s = psutil.Process(pid), every_s
        self._samples: list[tuple[float, float]] = []
        self._done = threading.Event()
        self._gone: type[Exception] = psutil.Error
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def memory(self) -> Memory:
        """Return what was seen; there is at least one sample."""
        return memory_of(self._samples)

    def _run(self) -> None:
        began_s = time.monotonic()
        while True:
            try:
                resident = self._process.memory_info().rss / _MIB
            except self._gone:
                return
            self._samples.append((time.monotonic() - began_s, resident))
            if self._done.wait(self._every_s):
                return


def memory_of(samples: list[tuple[float, float]]) -> Memory:
    """Return what is said of samples (seconds, MiB)."""
    assert samples
    warm_up_s = _SETTLING_SHARE * float(samples[-1][0])
    settled = [sample for sample in samples if sample[0] >= warm_up_s]
    judged_s = float(samples[-1][0]) - warm_up_s
    late = [sample for sample in settled if sample[0] >= warm_up_s + judged_s / 2]
    slope, late_slope = _slope_of(settled), _slope_of(late)
    rise = None if slope is None else slope.value * judged_s
    late_rise = None if late_slope is None else late_slope.value * judged_s / 2
    grows = None
    if slope is not None and rise is not None and late_rise is not None and judged_s >= _LEAST_JUDGED_S:
        grows = slope.is_growth and rise >= _LEAST_RISE_MIB and late_rise >= _LATE_SHARE * rise
    step = -(-len(samples) // _NUM_POINTS)
    return Memory(
        n=len(samples),
        started_mib=samples[0][1],
        warm_up_s=warm_up_s,
        first_mib=settled[0][1],
        last_mib=settled[-1][1],
        largest_mib=max(each[1] for each in samples),
        slope_mib_per_hour=None if slope is None else slope.value * _HOUR_S,
        slope_interval_95=None if slope is None else (slope.low * _HOUR_S, slope.high * _HOUR_S),
        rise_mib=rise,
        late_rise_mib=late_rise,
        grows=grows,
        over_time=tuple(samples[::step]),
    )


def _slope_of(samples: list[tuple[float, float]]) -> Slope | None:
    if len(samples) < LEAST_SAMPLES:
        return None
    return fit_slope([each[0] for each in samples], [each[1] for each in samples])
