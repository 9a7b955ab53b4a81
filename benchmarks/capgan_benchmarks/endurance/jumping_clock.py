"""A wall clock that jumps by days: `time.time` of this process, patched; the monotonic clock is as ever."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from unittest import mock

HOW = "time.time patched in its process"
_JUMPS_S = (0.0, 86_400.0, -86_400.0, 3.0e8, -3.0e8)
_EVERY_S = 0.05


@contextlib.contextmanager
def jumping_clock() -> Iterator[None]:
    """Let the wall clock jump twenty times a second, a day or ten years forward and back."""
    real, began_s = time.time, time.monotonic()

    def jumping() -> float:
        return real() + _JUMPS_S[int((time.monotonic() - began_s) / _EVERY_S) % len(_JUMPS_S)]

    with mock.patch.object(time, "time", jumping):
        yield
