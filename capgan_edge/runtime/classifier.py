"""From frames to verdicts: the public face of a bundle. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.frames import CheckedFrames, Frames, checked_frames, fit_frames
from capgan_edge.runtime.readings import indices_and_scores, purified_copy, refuse_not_finite, rows_from_outputs
from capgan_edge.runtime.runner import Outputs, Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one frame shows, after purification."""

    index: int
    """The class."""
    label: str
    score: float
    """Softmax probability of the class, in [0, 1]."""
    suspicion: float
    """In [0, 1]: how adversarial the purifier's own domain classifier finds the frame as it came."""
    is_alarm: bool | None
    """The suspicion is above the threshold tuned for this very artifact; None where it has none."""
    latency_ms: float
    """Wall time of the batch that the frame went with, resizing included, in milliseconds."""
    raw_index: int | None = None
    """The class without purification; None where the bundle was exported without it."""
    raw_label: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RawVerdict:
    """What one frame shows to the classifier alone, as it came: nothing was purified and nothing is suspected."""

    index: int
    """The class."""
    label: str
    score: float
    """Softmax probability of the class, in [0, 1]."""
    latency_ms: float
    """Wall time of the batch that the frame went with, resizing included, in milliseconds."""


class Classifier:
    """Classify frames of any size through a fused graph. Several threads may share one classifier."""

    def __init__(
        self,
        runner: Runner,
        *,
        labels: Sequence[str],
        size_px: tuple[int, int],
        threshold: float | None = None,
        info: dict[str, Any] | None = None,
        live_info: Callable[[], dict[str, Any]] = dict,
        backend_reason: str = "given by the caller",
        max_batch: int = 64,
        is_concurrent: bool = False,
    ) -> None:
        """Wrap a runner.

        Args:
            runner: the engine; closed together with the classifier.
            labels: K names.
            size_px: height and width that the graph takes.
            threshold: above it a frame's suspicion, in [0, 1], is an alarm; None raises none.
            info: what `describe` adds, e.g. the bundle's path and precision.
            live_info: what `describe` adds anew each time, e.g. how calls were launched.
            backend_reason: which backend runs, and why it was chosen.
            max_batch: frames given to the engine at once; more are split.
            is_concurrent: the runner takes several threads at once and returns fresh arrays; else calls take turns.
        """
        if max_batch < 1:
            raise ConfigError(f"max_batch is a count of frames of at least 1, got {max_batch}; the default is 64")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"threshold is a suspicion in [0, 1], got {threshold}; take the one that verify stored")
        self.labels = tuple(labels)
        self.size_px = size_px
        self.backend_reason = backend_reason
        self.max_batch = max_batch
        self._runner = runner
        self._threshold = threshold
        self._info = dict(info or {})
        self._live_info = live_info
        self._turn: contextlib.AbstractContextManager[Any] = (
            contextlib.nullcontext() if is_concurrent else threading.Lock()
        )
        self._is_closed = False

    def classify(self, frames: Frames) -> list[Verdict]:
        """Return a verdict for each frame, in order; no frames, no verdicts.

        Args:
            frames: uint8 RGB of any size: [H, W, 3], [N, H, W, 3], or a list of [H, W, 3]. OpenCV's frames are BGR:
                give `frame[..., ::-1]`.

        Raises:
            InputError: frames of another type, dtype, rank or channel count.
        """
        verdicts, _ = self._classified(frames, with_purified=False)
        return verdicts

    def classify_with_purified(self, frames: Frames) -> tuple[list[Verdict], NDArray[np.uint8]]:
        """Return what `classify` and `purify` do, from one pass.

        Raises:
            InputError: frames of another type, dtype, rank or channel count.
            ArtifactError: the bundle was exported without the output `purified`.
        """
        return self._classified(frames, with_purified=True)

    def classify_raw(self, frames: Frames) -> list[RawVerdict]:
        """Return what the classifier alone says of the frames as they came, from the output `raw_logits`.

        It is the answer that an attack was made for. The fused graph runs as a whole, so that this is no faster.

        Raises:
            InputError: frames of another type, dtype, rank or channel count.
            ArtifactError: the bundle was exported without that output.
        """
        verdicts: list[RawVerdict] = []
        for batch in self._batches(frames):
            started_s = time.perf_counter()
            batch_NHWC = fit_frames(batch, self.size_px)
            with self._turn:
                raw_NK = self._run(batch_NHWC).raw_logits_NK
                if raw_NK is None:
                    raise ArtifactError(
                        "expected a bundle with the output raw_logits to bypass the purifier, got one exported without "
                        "it; export it again with --with-raw-logits, or use classify"
                    )
                refuse_not_finite(np.asarray(np.isfinite(raw_NK).all(axis=1)), "raw logits", offset=len(verdicts))
                rows = indices_and_scores(raw_NK)
            latency_ms = 1000 * (time.perf_counter() - started_s)
            verdicts += [
                RawVerdict(index=index, label=self.labels[index], score=score, latency_ms=latency_ms)
                for index, score in rows
            ]
        return verdicts

    def purify(self, frames: Frames) -> NDArray[np.uint8]:
        """Return the purified frames, uint8 RGB [N, H, W, 3] in the graph's size, also for a single frame.

        Raises:
            ArtifactError: the bundle was exported without the output `purified`.
        """
        height, width = self.size_px
        parts = [np.empty((0, height, width, 3), np.uint8)]
        for batch in self._batches(frames):
            batch_NHWC = fit_frames(batch, self.size_px)
            with self._turn:
                parts.append(purified_copy(self._run(batch_NHWC)))
        return np.concatenate(parts)

    def describe(self) -> dict[str, Any]:
        """Return what this classifier is, for logs: labels, frame size, backend and why, and the bundle's own facts."""
        height, width = self.size_px
        own = {"labels": list(self.labels), "height": height, "width": width, "backend_reason": self.backend_reason}
        settings = {"max_batch": self.max_batch, "suspicion_threshold": self._threshold}
        return {**own, **settings, **self._info, **self._live_info()}

    def close(self) -> None:
        """Free the engine; a closed classifier refuses frames."""
        with self._turn:
            self._is_closed = True
            self._runner.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _classified(self, frames: Frames, *, with_purified: bool) -> tuple[list[Verdict], NDArray[np.uint8]]:
        """Return a verdict for each frame, and the purified frames, of which there are none where none are wanted."""
        height, width = self.size_px
        verdicts: list[Verdict] = []
        parts = [np.empty((0, height, width, 3), np.uint8)]
        for batch in self._batches(frames):
            started_s = time.perf_counter()
            batch_NHWC = fit_frames(batch, self.size_px)
            with self._turn:
                outputs = self._run(batch_NHWC)
                rows = rows_from_outputs(outputs, offset=len(verdicts))
                parts += [purified_copy(outputs)] if with_purified else []
            latency_ms = 1000 * (time.perf_counter() - started_s)
            verdicts += [self._verdict(*row, latency_ms) for row in rows]
        return verdicts, np.concatenate(parts)

    def _batches(self, frames: Frames) -> Iterator[CheckedFrames]:
        checked = checked_frames(frames)
        for start in range(0, len(checked), self.max_batch):
            yield checked[start : start + self.max_batch]

    def _run(self, batch_NHWC: NDArray[np.uint8]) -> Outputs:
        if self._is_closed:
            raise CapganError("expected an open classifier, got one that was closed; load the bundle again")
        outputs = self._runner(batch_NHWC)
        assert outputs.logits_NK.shape == (len(batch_NHWC), len(self.labels))
        return outputs

    def _verdict(self, index: int, score: float, suspicion: float, raw_index: int | None, latency_ms: float) -> Verdict:
        return Verdict(
            index=index,
            label=self.labels[index],
            score=score,
            suspicion=suspicion,
            is_alarm=None if self._threshold is None else suspicion > self._threshold,
            latency_ms=latency_ms,
            raw_index=raw_index,
            raw_label=None if raw_index is None else self.labels[raw_index],
        )
