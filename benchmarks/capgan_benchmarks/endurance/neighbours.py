"""How much of the machine other processes took while something was measured on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from capgan_edge.errors import MissingDependencyError


def others_since_now(pid: int) -> Callable[[], float]:
    """Start to watch, and return what says how many processors others used since, on average.

    Others are all processes but this one and `pid`, which must still run when it is asked, and whatever the hypervisor
    gave to other machines.
    """
    try:
        import psutil  # type: ignore[import-untyped]  # comes with KServe
    except ImportError as error:
        raise MissingDependencyError("psutil", "watching processors", "serve") from error
    process = psutil.Process(pid)

    def busy_s() -> tuple[float, float]:
        all_times, own, watched = psutil.cpu_times(), os.times(), process.cpu_times()
        everyone = sum(getattr(all_times, name, 0.0) for name in _BUSY)
        return everyone, own.user + own.system + watched.user + watched.system

    began_s, (everyone_before, ours_before) = time.monotonic(), busy_s()

    def others() -> float:
        everyone, ours = busy_s()
        taken_s = (everyone - everyone_before) - (ours - ours_before)
        return max(0.0, taken_s) / (time.monotonic() - began_s)

    return others


_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""Of the kernel's accounts; what guests use is in `user`."""
