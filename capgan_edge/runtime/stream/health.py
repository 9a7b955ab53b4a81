"""Frames that are pictures of nothing: black ones, and the same one again and again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.stream.event import Health

_DARK_LEVEL = 20
"""Video's own black is 16, and sensors add a little noise."""
_BRIGHT_SHARE = 0.001
_STRIDE_PX = 4


class HealthMonitor:
    """Label each frame by itself and by those before it."""

    def __init__(self, frozen_after: int) -> None:
        """`frozen_after` frames in a row, identical in every pixel, are frozen; 0 labels none so.

        A live sensor's noise makes two identical frames all but impossible; a hung driver repeats its buffer.
        """
        self._frozen_after = frozen_after
        self._last: NDArray[np.uint8] | None = None
        self._num_same = 1

    def label(self, frame_HWC: NDArray[np.uint8]) -> Health:
        """Return the label of the next frame."""
        self._num_same = self._num_same + 1 if self._is_last_again(frame_HWC) else 1
        self._last = frame_HWC
        if (frame_HWC[::_STRIDE_PX, ::_STRIDE_PX].max(axis=2) > _DARK_LEVEL).mean() < _BRIGHT_SHARE:
            return "black"
        return "frozen" if self._frozen_after and self._num_same >= self._frozen_after else "ok"

    def _is_last_again(self, frame_HWC: NDArray[np.uint8]) -> bool:
        last = self._last
        if last is None or last.shape != frame_HWC.shape:
            return False
        sparse = (slice(None, None, 16), slice(None, None, 16))  # nearly always decides, at a 256th of the cost
        return np.array_equal(frame_HWC[sparse], last[sparse]) and np.array_equal(frame_HWC, last)
