"""A folder of images as a source: sorted by name, one after the other, each in its own size."""

from __future__ import annotations

import time
from pathlib import Path

from capgan_edge.errors import DataError
from capgan_edge.runtime.image_files import find_images, read_image
from capgan_edge.runtime.stream.capture import Picture

_FPS = 10.0


class FolderCapture:
    """Images as frames, ten a second."""

    fps: float | None = _FPS

    def __init__(self, folder: str) -> None:
        """Raises DataError where the folder has no image."""
        self.num_unreadable = 0
        self._paths = iter(find_images([Path(folder)]))

    def read(self) -> Picture | None:
        for path in self._paths:
            started_s = time.monotonic()
            try:
                frame_HWC = read_image(path)
            except DataError:
                self.num_unreadable += 1
                continue
            return Picture(frame_HWC=frame_HWC, arrived_s=started_s, capture_ms=1000 * (time.monotonic() - started_s))
        return None

    def close(self) -> None:
        self._paths = iter(())
