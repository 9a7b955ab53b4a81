"""The frames that every contestant gets: drawn signs, the same for the same size. Shapes: N, H, W as ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.protocol import FramesIdentity
from capgan_benchmarks.latency.rounds import Batches
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.frames import Frames

_NUM_BATCHES = 8
"""Different ones, given in turn: a query never repeats the one before."""

_LEAST_DRAWN = 32
"""Signs come in whole rounds of their classes."""


def draw_frames(size_px: tuple[int, int], max_batch: int) -> tuple[NDArray[np.uint8], FramesIdentity]:
    """Return enough frames for batches of up to `max_batch`, and what they are."""
    from capgan_edge.data.signs import load_signs

    height, width = size_px
    num_frames = max(max_batch + _NUM_BATCHES - 1, _LEAST_DRAWN)
    drawn = load_signs("test", size_px=max(size_px), n=num_frames)
    frames_NHWC = np.ascontiguousarray(drawn.images_NHWC[:, :height, :width])
    identity = FramesIdentity(data=drawn.name, height_px=height, width_px=width,
                              sha256=sha256_of_bytes(frames_NHWC.tobytes()))  # fmt: skip
    return frames_NHWC, identity


def batches_of(frames_NHWC: NDArray[np.uint8], batch: int) -> Batches:
    """Return the different batches of one size."""
    return [frames_NHWC[start : start + batch] for start in range(_NUM_BATCHES)]


def as_camera_frames(batches: Batches, camera_frame: tuple[int, int] | None) -> Sequence[Frames]:
    """Return the batches as cameras of this height and width give them, lists of frames; None leaves them as they are.

    Every frame is held once, however many queries have it: a batch of 64 in full HD would be 400 MB.
    """
    if camera_frame is None:
        return batches
    rows, columns = (
        np.arange(size) * old // size for size, old in zip(camera_frame, batches[0].shape[1:3], strict=True)
    )
    held = [np.ascontiguousarray(each[0, rows[:, None], columns]) for each in batches]
    return [[held[(start + index) % len(held)] for index in range(len(each))] for start, each in enumerate(batches)]
