"""A large frame made small: every pixel counts, weighted by a triangle around the pixel that it goes into.

It is Pillow's bilinear filter, faster on a camera's frame, and without its rounding half way: the
two differ by one level at most. Shapes: H, W of the frame, h, w of what it becomes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAST_SCALE = 4
"""Below it Pillow is as fast."""
_MAX_VALUES = 1 << 16
"""Of a strip of the frame as float32: it stays in the processor's nearer caches."""
_MAX_PRODUCTS = 1 << 18
"""Of one product of matrices: above it OpenBLAS wakes other threads, and waits for them where the cores are busy."""


class _Strip(NamedTuple):
    """Some rows of what is shrunk, and the rows of the result that they count towards."""

    rows: slice
    targets: slice
    weights: NDArray[np.float32]
    """[targets, rows]"""


def is_shrinkable(frame_HWC: NDArray[np.uint8], height: int, width: int) -> bool:
    """Return whether the frame is large enough for this to be the faster way."""
    high, wide, _ = frame_HWC.shape
    return bool(high >= _LEAST_SCALE * height and wide >= _LEAST_SCALE * width)


def shrunk(frame_HWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return the frame in its new size [height, width, 3]; the frame may lie in memory in any order."""
    if frame_HWC.strides[2] < 0:  # OpenCV's BGR, turned by [..., ::-1]: the small image is turned in less time
        return np.ascontiguousarray(shrunk(frame_HWC[..., ::-1], height, width)[..., ::-1])
    high, wide, _ = frame_HWC.shape
    buffer_N = np.empty(max(_MAX_VALUES, 3 * wide), np.float32)
    flat_hV = np.zeros((height, 3 * wide), np.float32)  # V: the values of a row, 3 W
    for strip in _strips(high, height, 3 * wide):
        num_rows = strip.rows.stop - strip.rows.start
        held_RV = buffer_N[: num_rows * 3 * wide].reshape(num_rows, 3 * wide)
        np.copyto(held_RV.reshape(num_rows, wide, 3), frame_HWC[strip.rows])
        flat_hV[strip.targets] += strip.weights @ held_RV
    columns_WV = np.ascontiguousarray(flat_hV.reshape(height, wide, 3).transpose(1, 0, 2)).reshape(wide, 3 * height)
    small_wV = np.zeros((width, 3 * height), np.float32)
    for strip in _strips(wide, width, 3 * height):
        small_wV[strip.targets] += strip.weights @ columns_WV[strip.rows]
    small_hwC = small_wV.reshape(width, height, 3).transpose(1, 0, 2)
    return np.ascontiguousarray((small_hwC + np.float32(0.5)).clip(0, 255)).astype(np.uint8)


@lru_cache(maxsize=16)
def _strips(old: int, new: int, num_values: int) -> tuple[_Strip, ...]:
    """Return the strips that `old` rows of `num_values` each are shrunk by, to `new` rows."""
    scale = old / new
    centres_N = (np.arange(new) + 0.5) * scale
    distance_NO = np.abs(np.arange(old) + 0.5 - centres_N[:, None]) / scale
    weights_NO = np.maximum(0, 1 - distance_NO)
    weights_NO /= weights_NO.sum(1, keepdims=True)
    num_rows = max(1, _MAX_VALUES // num_values)
    while num_rows > 1 and (num_rows / scale + 2) * num_rows * num_values > _MAX_PRODUCTS:
        num_rows -= 1
    strips = []
    for start in range(0, old, num_rows):
        part_NR = weights_NO[:, start : start + num_rows]
        targets = np.flatnonzero(part_NR.any(axis=1))
        held = slice(int(targets[0]), int(targets[-1]) + 1)
        weights = np.ascontiguousarray(part_NR[held], np.float32)
        weights.flags.writeable = False
        strips.append(_Strip(slice(start, start + part_NR.shape[1]), held, weights))
    return tuple(strips)
