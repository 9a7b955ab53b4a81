"""OpenCV's captures: cameras, video files, network streams and GStreamer pipelines."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError, ConfigError, DataError, MissingDependencyError
from capgan_edge.runtime.stream.capture import Picture
from capgan_edge.runtime.stream.source import SourceSpec

_QUICK_S, _MAX_QUICK = 0.005, 30
"""FFmpeg says the same of a corrupt frame and of a stream that is over, but the latter at once, again and again."""
_MAX_UNREADABLE = 5
"""Frames in a row of a file that may be corrupt where nothing says how many there are."""
_MAX_COUNTED = 1_000_000
"""And where the file says it, whatever it says."""


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
        self._patience_s = patience_s
        self._num_missing = _NumMissing(self._capture) if spec.kind == "file" else None

    def read(self) -> Picture | None:
        return self._read_live() if self._num_missing is None else self._read_file(self._num_missing)

    def close(self) -> None:
        self._capture.release()

    def _read_file(self, missing: _NumMissing) -> Picture | None:
        """Go on past frames that are corrupt, as long as the file says that there are more."""
        num_expected = missing.now()
        for num_refused in range(max(num_expected, _MAX_UNREADABLE) + 1):
            picture, _ = self._tried()
            if picture is not None:
                self.num_unreadable += num_refused
                missing.take_down(num_refused + 1)
                return picture
        self.num_unreadable += num_expected
        return None

    def _read_live(self) -> Picture | None:
        """Go on past corrupt pictures; where none can be read for too long, or none comes, the source is lost."""
        began_s = time.monotonic()
        num_refused = num_quick = 0
        while num_quick <= _MAX_QUICK and time.monotonic() - began_s < self._patience_s:
            asked_s = time.monotonic()
            picture, is_grabbed = self._tried()
            if picture is not None:
                self.num_unreadable += num_refused + num_quick
                return picture
            is_quick = not is_grabbed and time.monotonic() - asked_s < _QUICK_S
            num_quick, num_refused = num_quick + is_quick, num_refused + (not is_quick)
        return None

    def _tried(self) -> tuple[Picture | None, bool]:
        """Return the next picture, if there is one that can be decoded; and whether anything came."""
        if not self._capture.grab():
            return None, False
        arrived_s = time.monotonic()
        is_there, frame_any = self._capture.retrieve()
        if not is_there or frame_any is None:
            return None, True
        frame_HWC = _rgb(frame_any)
        capture_ms = 1000 * (time.monotonic() - arrived_s)
        return Picture(frame_HWC=frame_HWC, arrived_s=arrived_s, capture_ms=capture_ms), True


class _NumMissing:
    """How many frames of a file are still to come, by its own count and by its own clock: the smaller one.

    Some containers only estimate the count; that the last frame lies at the end says that nothing is missing.
    """

    def __init__(self, capture: Any) -> None:
        self._capture, self._cv2 = capture, cv2_module("capturing video")
        num_frames = capture.get(self._cv2.CAP_PROP_FRAME_COUNT)
        self._num_frames = int(num_frames) if 0 < num_frames <= _MAX_COUNTED else 0
        self._fps = float(capture.get(self._cv2.CAP_PROP_FPS))
        self._num_asked = 0
        self._at_s = 0.0

    def take_down(self, num_asked: int) -> None:
        """A frame came, after so many were asked for."""
        self._num_asked += num_asked
        self._at_s = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000

    def now(self) -> int:
        by_count = self._num_frames - self._num_asked
        if self._fps <= 0 or self._at_s <= 0:
            return max(0, by_count)
        return max(0, min(by_count, round(self._num_frames - self._at_s * self._fps) - 1))


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
