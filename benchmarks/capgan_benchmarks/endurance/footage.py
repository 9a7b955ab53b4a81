"""Real video files of drawn signs, and what the bundle says of each of their frames. Shapes: N, H, W."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.endurance.answers import Kind, KnownAnswers
from capgan_benchmarks.endurance.bench import Bench, drawn_signs
from capgan_edge.errors import CapganError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.loading import classifier_from_opened
from capgan_edge.runtime.stream.camera import OpenCvCapture, cv2_module
from capgan_edge.runtime.stream.source import parse_source

FPS = 30.0
_SIZE_PX = (160, 160)
_TOLERANCE = 0.01
"""Of scores and suspicions, in [0, 1]."""
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], fps: float = FPS) -> None:
    """Write RGB frames of one size."""
    cv2 = cv2_module("writing a video")
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*_CODECS[path.suffix]), fps, (width, height))
    if not writer.isOpened():
        raise CapganError(f"expected OpenCV to write {path}, but it cannot; install opencv-python-headless from PyPI")
    for frame_HWC in frames:
        writer.write(np.ascontiguousarray(frame_HWC[..., ::-1]))
    writer.release()


def sign_video(bench: Bench, num_frames: int) -> Path:
    """Write a video in which every frame shows another sign, so that a verdict of a neighbour is a wrong one."""
    path = bench.folder / f"signs-{num_frames}.mp4"
    write_video(path, list(drawn_signs(_SIZE_PX, num_frames, seed=bench.seed)))
    return path


def frames_of_video(path: Path) -> list[NDArray[np.uint8]]:
    """Return the frames as the camera loop decodes them."""
    capture = OpenCvCapture(parse_source(path), patience_s=10.0)
    frames = []
    while (picture := capture.read()) is not None:
        frames.append(picture.frame_HWC)
    capture.close()
    return frames


def opened_classifier(bench: Bench) -> Classifier:
    """Return the bundle's classifier, run as everything on this bench is."""
    bundle = Bundle.open(bench.bundle)
    return classifier_from_opened(bundle, bench.running.open(bundle))


class KnownVideo:
    """Right verdicts for the frames of a video that may be looped."""

    def __init__(self, bench: Bench, path: Path) -> None:
        with opened_classifier(bench) as classifier:
            verdicts = [classifier.classify(frame_HWC)[0] for frame_HWC in frames_of_video(path)]
        self.path = path
        self._known = KnownAnswers(np.array([_answer(v.index, v.score, v.suspicion) for v in verdicts]), _TOLERANCE)

    def __len__(self) -> int:
        return len(self._known.answers_NK)

    def kind_of(self, event: dict[str, Any]) -> Kind:
        """Return what the verdict of a frame's event (as in the JSON lines) is; one without a verdict is lost."""
        if len(event["verdicts"]) != 1:
            return "lost"
        (verdict,) = event["verdicts"]
        answer_K = np.array(_answer(verdict["index"], verdict["score"], verdict["suspicion"]))
        return self._known.kind_of(event["frame_number"] % len(self), answer_K)


def _answer(index: int, score: float, suspicion: float | None) -> tuple[float, float, float]:
    return float(index), score, float("nan") if suspicion is None else suspicion
