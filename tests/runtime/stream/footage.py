"""Frames and recordings: colours that the tiny classifier tells apart, with a mark that makes each frame its own."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CHANNELS = {"r": 0, "g": 1, "b": 2}
LABEL_OF = {"r": "stop", "g": "yield", "b": "go"}


def coloured(channel: str, mark: int = 0, size_px: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """Return an RGB frame of one colour; `mark` moves a light square over it."""
    frame_HWC = np.full((*size_px, 3), 30, np.uint8)
    frame_HWC[..., CHANNELS[channel]] = 200
    left = 8 * mark % (size_px[1] - 8)
    frame_HWC[:8, left : left + 8] = 120 + 10 * mark % 130
    return frame_HWC


def colours_of(text: str, size_px: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    """Return a frame for each letter, no two alike."""
    return [coloured(letter, mark, size_px) for mark, letter in enumerate(text)]


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], fps: float = 50.0) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    assert writer.isOpened()
    for frame_HWC in frames:
        writer.write(np.ascontiguousarray(frame_HWC[..., ::-1]))
    writer.release()


def write_mjpeg(path: Path, frames: Sequence[NDArray[np.uint8]], *, is_corrupt: Callable[[int], bool]) -> None:
    """Write a video of JPEGs (.avi); the bytes of corrupt ones are zeros."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (width, height))
    assert writer.isOpened()
    for frame_HWC in frames:
        writer.write(np.ascontiguousarray(frame_HWC[..., ::-1]))
    writer.release()
    data = bytearray(path.read_bytes())
    chunks = list(re.finditer(rb"00dc(....)\xff\xd8", bytes(data), re.DOTALL))
    assert len(chunks) == len(frames)
    for number, chunk in enumerate(chunks):
        if is_corrupt(number):
            (num_bytes,) = struct.unpack("<I", chunk[1])
            data[chunk.start() + 8 : chunk.start() + 8 + num_bytes] = bytes(num_bytes)
    path.write_bytes(data)


def jpeg(frame_HWC: NDArray[np.uint8]) -> bytes:
    is_encoded, data = cv2.imencode(".jpg", np.ascontiguousarray(frame_HWC[..., ::-1]))
    assert is_encoded
    return data.tobytes()
