"""Passes over the crops of one frame, purified or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.frames import fit_frames
from capgan_edge.runtime.stream.box import Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a pass says of one crop."""

    index: int
    score: float
    suspicion: float | None
    is_alarm: bool | None
    raw_index: int | None
    purified_HWC: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    """In the graph's size; None where it was not asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The crops of one frame."""

    frame_HWC: NDArray[np.uint8]
    boxes: Sequence[Box]
    arrived_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finding for each box of a job, and how long the stages took."""

    findings: list[Finding]
    resize_ms: float
    inference_ms: float
    done_s: float
    """By `time.monotonic`."""


class Passes:
    """Crops in, findings out. One pass at a time."""

    def __init__(self, classifier: Classifier, *, with_purified: bool = False) -> None:
        """`with_purified` lets findings have the purified crop, where the purifier ran."""
        self._classifier, self._with_purified = classifier, with_purified

    def purified(self, job: Job) -> Found:
        """Return the classifier's verdicts."""
        return self._timed(job, self._purified_findings)

    def unpurified(self, job: Job) -> Found:
        """Return the victim's verdicts on the frames as they came."""
        return self._timed(job, self._raw_findings)

    def warm_up(self, num_crops: int, *, with_raw: bool) -> None:
        """Run what the loop will run once, so that no frame pays for first calls.

        Raises:
            ArtifactError: `with_raw`, and the graph has no raw logits; or purified crops, and it gives none.
        """
        height, width = self._classifier.size_px
        black_NHWC = np.zeros((num_crops, height, width, 3), np.uint8)
        if with_raw:
            self._raw_findings(black_NHWC)
        self._purified_findings(black_NHWC)

    def _timed(self, job: Job, classify: Callable[[NDArray[np.uint8]], list[Finding]]) -> Found:
        started_s = time.perf_counter()
        crops = [job.frame_HWC[box.top : box.bottom, box.left : box.right] for box in job.boxes]
        batch_NHWC = fit_frames(crops, self._classifier.size_px)
        resized_s = time.perf_counter()
        findings = classify(batch_NHWC)
        assert len(findings) == len(job.boxes)
        return Found(
            findings=findings,
            resize_ms=1000 * (resized_s - started_s),
            inference_ms=1000 * (time.perf_counter() - resized_s),
            done_s=time.monotonic(),
        )

    def _purified_findings(self, batch_NHWC: NDArray[np.uint8]) -> list[Finding]:
        purified: Sequence[NDArray[np.uint8] | None]
        if self._with_purified:
            verdicts, purified_NHWC = self._classifier.classify_with_purified(batch_NHWC)
            purified = list(purified_NHWC)
        else:
            verdicts = self._classifier.classify(batch_NHWC)
            purified = [None] * len(verdicts)
        return [
            Finding(index=verdict.index, score=verdict.score, suspicion=verdict.suspicion, is_alarm=verdict.is_alarm,
                    raw_index=verdict.raw_index, purified_HWC=purified_HWC)
            for verdict, purified_HWC in zip(verdicts, purified, strict=True)
        ]  # fmt: skip

    def _raw_findings(self, batch_NHWC: NDArray[np.uint8]) -> list[Finding]:
        return [
            Finding(index=raw.index, score=raw.score, suspicion=None, is_alarm=None, raw_index=raw.index)
            for raw in self._classifier.classify_raw(batch_NHWC)
        ]
