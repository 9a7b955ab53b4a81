"""Passes over the crops of one frame: purified or not, in this thread or, under a deadline, in one that may be late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.frames import fit_frames
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.unpurified import raw_logits


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a pass says of one crop."""

    index: int
    score: float
    suspicion: float | None
    is_alarm: bool | None
    raw_index: int | None


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

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def purified(self, job: Job) -> Found:
        """Return the classifier's verdicts."""
        return self._timed(job, self._purified_findings)

    def unpurified(self, job: Job) -> Found:
        """Return the victim's verdicts on the frames as they came."""
        return self._timed(job, self._raw_findings)

    def warm_up(self, num_crops: int, *, with_raw: bool) -> None:
        """Run what the loop will run once, so that no frame pays for first calls.

        Raises:
            ArtifactError: `with_raw`, and the graph has no raw logits.
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
        return [
            Finding(index=verdict.index, score=verdict.score, suspicion=verdict.suspicion, is_alarm=verdict.is_alarm,
                    raw_index=verdict.raw_index)
            for verdict in self._classifier.classify(batch_NHWC)
        ]  # fmt: skip

    def _raw_findings(self, batch_NHWC: NDArray[np.uint8]) -> list[Finding]:
        findings: list[Finding] = []
        for start in range(0, len(batch_NHWC), self._classifier.max_batch):
            part_NHWC = batch_NHWC[start : start + self._classifier.max_batch]
            logits_NK = raw_logits(self._classifier, part_NHWC).astype(np.float64)
            weights_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
            scores_N = weights_NK.max(axis=1) / weights_NK.sum(axis=1)
            for index, score in zip(logits_NK.argmax(axis=1), scores_N, strict=True):
                findings.append(
                    Finding(index=int(index), score=float(score), suspicion=None, is_alarm=None, raw_index=int(index))
                )
        return findings


class Background:
    """One pass in a thread of its own: whoever waits for it may stop waiting."""

    def __init__(self, work: Callable[[Job], Found], job: Job) -> None:
        self.job = job
        self._work = work
        self._found: Found | None = None
        self._error: Exception | None = None
        self._is_done = threading.Event()
        threading.Thread(target=self._run, name="inference", daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the pass is done, after waiting for it no longer than this."""
        return self._is_done.wait(max(0.0, timeout_s))

    def result(self) -> Found:
        """Return what a done pass found; what it raised is raised here."""
        assert self._is_done.is_set()
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._work(self.job)
        except Exception as error:  # handed to the thread that asks for the result
            self._error = error
        finally:
            self._is_done.set()
