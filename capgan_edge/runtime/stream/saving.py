"""An annotated video, one picture for each event that has a frame: no frame is invented where a source is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.stream.annotation import Annotator
from capgan_edge.runtime.stream.camera import cv2_module
from capgan_edge.runtime.stream.event import Event

_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_RESERVE_BYTES = 32 << 20
"""Disk that is left free: a video without its last bytes, its index, cannot be played at all."""


class SavedVideo:
    """Write events to a video file in the size of the first frame; later ones of another size are fitted in."""

    def __init__(
        self,
        path: Path,
        annotator: Annotator,
        *,
        fps: float = 25.0,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Raises ConfigError for a suffix that no codec is known for, CapganError where nothing can be written."""
        if path.suffix.lower() not in _CODECS:
            raise ConfigError(f"expected a video as {', '.join(_CODECS)}, got {path.name!r}; name it one of these")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise CapganError(f"expected a folder to write to at {path.parent}, got none; make it, or name another")
        if path.exists() and not path.is_file():
            raise CapganError(f"expected a file to write a video to, got {path}, which is none; name another")
        self._path, self._annotator, self._fps = path, annotator, fps
        self._free_bytes = free_bytes
        self._writer: Any = None
        self._size_px = (0, 0)
        self._num_written = 0
        self._cv2 = cv2_module("saving a video")
        self._refuse_full_disk()

    def write(self, event: Event) -> None:
        if event.frame_HWC is None:
            return
        self._refuse_full_disk()
        picture_HWC = self._annotator.draw(event)
        if self._writer is None:
            self._open(picture_HWC)
        fitted_HWC = self._fitted(picture_HWC)
        self._writer.write(self._cv2.cvtColor(fitted_HWC, self._cv2.COLOR_RGB2BGR))
        self._num_written += 1

    def close(self) -> None:
        """Finish the file, and read back how many frames are in it: OpenCV does not say when writing fails."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        written = self._cv2.VideoCapture(str(self._path))
        num_held = int(written.get(self._cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if num_held != self._num_written:
            raise CapganError(
                f"expected {self._num_written} frames in {self._path}, got {num_held}: it could not be written whole; "
                "check the disk's space and quota"
            )

    def _open(self, picture_HWC: NDArray[np.uint8]) -> None:
        height, width = (side - side % 2 for side in picture_HWC.shape[:2])  # video codecs want even sides
        if not height or not width:
            raise CapganError(f"expected frames of at least 2 x 2 pixels to save, got {picture_HWC.shape[:2]}")
        code = self._cv2.VideoWriter_fourcc(*_CODECS[self._path.suffix.lower()])
        self._writer = self._cv2.VideoWriter(str(self._path), code, self._fps, (width, height))
        if not self._writer.isOpened():
            self._writer = None
            raise CapganError(f"expected to write a video to {self._path}, but OpenCV cannot; name it .avi or another")
        self._size_px = (height, width)

    def _fitted(self, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = self._size_px
        if picture_HWC.shape[0] // 2 == height // 2 and picture_HWC.shape[1] // 2 == width // 2:
            return picture_HWC[:height, :width]
        scale = min(height / picture_HWC.shape[0], width / picture_HWC.shape[1])
        inner = (max(1, int(picture_HWC.shape[1] * scale)), max(1, int(picture_HWC.shape[0] * scale)))
        fitted_HWC = np.zeros((height, width, 3), np.uint8)
        fitted_HWC[: inner[1], : inner[0]] = self._cv2.resize(picture_HWC, inner, interpolation=self._cv2.INTER_AREA)
        return fitted_HWC

    def _refuse_full_disk(self) -> None:
        free = self._free_bytes(self._path.parent)
        if free < _RESERVE_BYTES:
            raise CapganError(
                f"expected at least {_RESERVE_BYTES >> 20} MiB free to save {self._path}, got {free >> 20} MiB; "
                "free some space, or save elsewhere"
            )
