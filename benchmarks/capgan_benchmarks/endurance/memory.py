"""Resident memory of a process over time, and whether it grows."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from pydantic import FiniteFloat

from capgan_benchmarks.endurance.slope import LEAST_SAMPLES, fit_slope
from capgan_edge.errors import MissingDependencyError
from capgan_edge.runtime.fields import Count, Listed, Record

_SETTLING_SHARE = 0.2
"""Of the run, at its start: caches fill, and thread pools and allocators reach their size."""
_NUM_POINTS = 120
"""Of the figure."""
_MIB = float(1 << 20)
_HOUR_S = 3600.0


class Memory(Record):
    """What is said of the resident memory of one process; slope and verdict leave out the first fifth of the run."""

    n: Count
    first_mib: FiniteFloat
    last_mib: FiniteFloat
    largest_mib: FiniteFloat
    slope_mib_per_hour: FiniteFloat | None
    """None where there are too few samples."""
    slope_interval_95: Listed[FiniteFloat] | None
    grows: bool | None
    """The whole interval is above zero; else the slope is inside noise."""
    over_time: Listed[tuple[FiniteFloat, FiniteFloat]]
    """Seconds and MiB, thinned out for the figure."""

    @property
    def slope_said(self) -> str:
        """The slope in words, with its interval."""
        if self.slope_mib_per_hour is None or self.slope_interval_95 is None:
            return "too few samples for a slope"
        low, high = self.slope_interval_95
        return f"slope {self.slope_mib_per_hour:+.2f} MiB/h, 95 % interval [{low:+.2f}, {high:+.2f}]"


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
    settled = [sample for sample in samples if sample[0] >= _SETTLING_SHARE * samples[-1][0]]
    slope = None
    if len(settled) >= LEAST_SAMPLES:
        slope = fit_slope([each[0] for each in settled], [each[1] for each in settled])
    step = -(-len(samples) // _NUM_POINTS)
    return Memory(
        n=len(samples),
        first_mib=settled[0][1],
        last_mib=settled[-1][1],
        largest_mib=max(each[1] for each in samples),
        slope_mib_per_hour=None if slope is None else slope.value * _HOUR_S,
        slope_interval_95=None if slope is None else (slope.low * _HOUR_S, slope.high * _HOUR_S),
        grows=None if slope is None else slope.is_growth,
        over_time=tuple(samples[::step]),
    )
