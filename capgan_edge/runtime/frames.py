"""Frames as callers have them, checked, and brought to the size that the graph takes. Shapes: N, H, W; 3 is RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import InputError, MissingDependencyError
from capgan_edge.runtime.shrinking import is_shrinkable, shrunk

Frames: TypeAlias = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""uint8 RGB: one frame [H, W, 3], a batch [N, H, W, 3], or a list of frames of any sizes."""

CheckedFrames: TypeAlias = NDArray[np.uint8] | list[NDArray[np.uint8]]
"""A batch [N, H, W, 3], or frames [H, W, 3] of any sizes."""

_WANTED = "frames are uint8 RGB, [H, W, 3] or [N, H, W, 3]"


def checked_frames(frames: Frames) -> CheckedFrames:
    """Return the frames as a batch or as a list, without copying them.

    Raises:
        InputError: wrong type, dtype, rank or channel count, NaN, or a frame without pixels.
    """
    if isinstance(frames, (list, tuple)):
        return [_checked_frame(frame, f"frame {index}: ") for index, frame in enumerate(frames)]
    _check_array(frames, "", ranks=(3, 4))
    assert isinstance(frames, np.ndarray)
    return frames[None] if frames.ndim == 3 else frames


def fit_frames(frames: CheckedFrames, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return one batch [N, height, width, 3]; bilinear, antialiased where it shrinks.

    An array that has the right size and lies in C order is returned as it is, not copied.
    """
    height, width = size_px
    if isinstance(frames, np.ndarray) and frames.shape[1:3] == size_px:
        return np.ascontiguousarray(frames)
    batch_NHWC = np.empty((len(frames), height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        batch_NHWC[index] = _resized(frame, height, width)
    return batch_NHWC


def _resized(frame_HWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if frame_HWC.shape == (height, width, 3):
        return frame_HWC
    if is_shrinkable(frame_HWC, height, width):
        return shrunk(frame_HWC, height, width)
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", f"resizing frames to {height} x {width}", "cpu") from error
    image = Image.fromarray(np.ascontiguousarray(frame_HWC))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _checked_frame(frame: Any, place: str) -> NDArray[np.uint8]:
    _check_array(frame, place, ranks=(3,))
    checked: NDArray[np.uint8] = frame
    return checked


def _check_array(array: Any, place: str, *, ranks: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"{place}{_WANTED} in a numpy array, got {type(array).__name__}; "
            "convert it, e.g. np.asarray(image.convert('RGB')) from Pillow"
        )
    if array.dtype != np.uint8:
        raise InputError(f"{place}{_WANTED}, got {array.dtype} {list(array.shape)}; {_dtype_remedy(array)}")
    if array.ndim not in ranks or array.shape[-1] != 3:
        raise InputError(f"{place}{_WANTED}, got shape {list(array.shape)}; {_shape_remedy(array.shape)}")
    if 0 in array.shape[-3:-1]:
        raise InputError(f"{place}{_WANTED}, got {list(array.shape)}, which has no pixels; drop the empty frame")


def _dtype_remedy(array: NDArray[Any]) -> str:
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        return "scale them to [0, 255] and cast with .astype(np.uint8)"
    if not np.issubdtype(array.dtype, np.floating):
        return "stack frames of one size with np.stack, or give a list of frames"
    num_bad = int(np.count_nonzero(~np.isfinite(array)))
    if num_bad:
        num_nan = int(np.count_nonzero(np.isnan(array)))
        return f"{num_nan} values are NaN and {num_bad - num_nan} infinite: find where they arise, then cast to uint8"
    if array.size and array.min() >= 0 and array.max() <= 1:
        return "floats in [0, 1]: multiply by 255, round and cast, (frames * 255).round().astype(np.uint8)"
    return "floats: clip to [0, 255], round and cast, frames.clip(0, 255).round().astype(np.uint8)"


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 2 or (len(shape) in (3, 4) and shape[-1] == 1):
        return "grey frames: repeat the channel, np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=-1)"
    if len(shape) in (3, 4) and shape[-1] == 4:
        return "four channels: drop alpha with frames[..., :3] (OpenCV gives BGR: frames[..., 2::-1])"
    if len(shape) in (3, 4) and shape[-3] == 3:
        return "channels come first: move them last with np.moveaxis(frames, -3, -1)"
    if len(shape) in (3, 4):
        return "give three channels, red, green, blue, in the last place"
    return "give one frame, a batch, or a list of frames"
