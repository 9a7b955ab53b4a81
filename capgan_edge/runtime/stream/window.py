"""A window with the annotated frames, where OpenCV was built with one."""

from __future__ import annotations

import threading
from typing import Any

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.stream.annotation import Annotator
from capgan_edge.runtime.stream.camera import cv2_module
from capgan_edge.runtime.stream.event import Event

_TITLE = "capgan-edge"
_ESCAPE = 27


class Window:
    """Show events as they come; `q` or Escape asks the loop to stop."""

    def __init__(self, annotator: Annotator, stop: threading.Event) -> None:
        """Raises ConfigError where this OpenCV has no windows."""
        self._cv2: Any = cv2_module("showing a window")
        self._annotator, self._stop = annotator, stop
        if not has_gui(self._cv2.getBuildInformation()):
            raise ConfigError(
                "expected an OpenCV with windows, got a headless one; use --view in the terminal or --save, "
                "or install opencv-python in place of opencv-python-headless"
            )
        try:
            self._cv2.namedWindow(_TITLE, self._cv2.WINDOW_NORMAL)
        except self._cv2.error as error:
            raise ConfigError(
                f"expected a screen to open a window on, but: {error.err}; use --view or --save"
            ) from error

    def write(self, event: Event) -> None:
        if event.frame_HWC is not None:
            picture_HWC = self._annotator.draw(event)
            self._cv2.imshow(_TITLE, self._cv2.cvtColor(picture_HWC, self._cv2.COLOR_RGB2BGR))
        if self._cv2.waitKey(1) & 0xFF in (ord("q"), _ESCAPE):
            self._stop.set()

    def close(self) -> None:
        self._cv2.destroyAllWindows()


def has_gui(build_information: str) -> bool:
    """Say whether OpenCV's own description of its build names a window system."""
    for line in build_information.splitlines():
        name, _, value = line.strip().partition(":")
        if name == "GUI":
            return value.strip() != "NONE"
    return False
