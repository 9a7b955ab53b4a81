"""OpenCV's captures: cameras, video files, network streams and GStreamer pipelines."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError, ConfigError, DataError, MissingDependencyError
from capgan_edge.runtime.stream.capture import Picture
from capgan_edge.runtime.stream.source import SourceSpec

_MAX_UNREADABLE = 5
"""Frames in a row that may be corrupt; FFmpeg says the same of a corrupt frame and of a stream that is over."""


class OpenCvCapture:
    """A source that OpenCV reads."""

    def __init__(self, spec: SourceSpec, *, patience_s: float) -> None:
        """Open the source.

        Raises:
            ConfigError: this OpenCV was built without GStreamer, and a pipeline was named.
            DataError: a file that is no video.
            CapganError: nothing answers; it may later.
        """
        self._capture = _opened(cv2_module("capturing video"), spec, patience_s)
        if not self._capture.isOpened():
            self._capture.release()
            if spec.kind == "file":
                raise DataError(f"expected a video at {spec.target}, got a file that OpenCV cannot read; convert it")
            raise CapganError(f"expected a source at {spec.shown}, got no answer; check that it is on and reachable")
        self.fps = _pace(self._capture) if spec.is_finite else None
        self.num_unreadable = 0

    def read(self) -> Picture | None:
        for num_refused in range(_MAX_UNREADABLE + 1):
            if not self._capture.grab():
                continue
            arrived_s = time.monotonic()
            is_there, frame_any = self._capture.retrieve()
            if is_there and frame_any is not None:
                self.num_unreadable += num_refused
                frame_HWC = _rgb(frame_any)
                capture_ms = 1000 * (time.monotonic() - arrived_s)
                return Picture(frame_HWC=frame_HWC, arrived_s=arrived_s, capture_ms=capture_ms)
        return None

    def close(self) -> None:
        self._capture.release()


def cv2_module(purpose: str) -> Any:
    """Return OpenCV, which is an optional package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("opencv-python-headless", purpose, "camera") from error
    return cv2


def _rgb(frame_any: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return OpenCV's BGR or grey as RGB."""
    cv2 = cv2_module("capturing video")
    is_grey = frame_any.ndim == 2 or frame_any.shape[2] == 1
    frame_HWC: NDArray[np.uint8] = cv2.cvtColor(frame_any, cv2.COLOR_GRAY2RGB if is_grey else cv2.COLOR_BGR2RGB)
    return frame_HWC


def _opened(cv2: Any, spec: SourceSpec, patience_s: float) -> Any:
    if spec.kind == "camera":
        return cv2.VideoCapture(int(spec.target) if spec.target.isdigit() else spec.target, cv2.CAP_ANY)
    if spec.kind == "pipeline":
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise ConfigError(
                "expected an OpenCV with GStreamer for a pipeline, got one built without it, as all from PyPI are; "
                "on Jetson use JetPack's own OpenCV, elsewhere the distribution's python3-opencv"
            )
        return cv2.VideoCapture(spec.target, cv2.CAP_GSTREAMER)
    if spec.kind == "file":
        return cv2.VideoCapture(spec.target, cv2.CAP_ANY)
    patience_ms = max(1, int(1000 * patience_s))
    settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience_ms]
    return cv2.VideoCapture(spec.target, cv2.CAP_FFMPEG, settings)


def _pace(capture: Any) -> float:
    fps = float(capture.get(cv2_module("capturing video").CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else 25.0  # some containers do not say, or say nonsense
