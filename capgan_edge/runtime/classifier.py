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
        verdicts: list[Verdict] = []
        for batch in self._batches(frames):
            started_s = time.perf_counter()
            batch_NHWC = fit_frames(batch, self.size_px)
            with self._turn:
                outputs = self._run(batch_NHWC)
                rows = _rows_from_outputs(outputs, offset=len(verdicts))
            latency_ms = 1000 * (time.perf_counter() - started_s)
            verdicts += [self._verdict(*row, latency_ms) for row in rows]
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
                purified_NHWC = self._run(batch_NHWC).purified_NHWC
                if purified_NHWC is None:
                    raise ArtifactError(
                        "expected a bundle with the output purified, got one exported without it; "
                        "export it again with that output, or use classify"
                    )
                parts.append(purified_NHWC.copy())
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


def _rows_from_outputs(outputs: Outputs, *, offset: int) -> list[tuple[int, float, float, int | None]]:
    """Return (index, score, suspicion, raw index) of each frame; the outputs' arrays are not kept."""
    logits_NK, raw_NK = outputs.logits_NK.astype(np.float64), outputs.raw_logits_NK
    is_finite_N = np.isfinite(logits_NK).all(axis=1) & np.isfinite(outputs.suspicion_N)
    if raw_NK is not None:
        is_finite_N &= np.isfinite(raw_NK).all(axis=1)
    if not is_finite_N.all():
        frame = offset + int(is_finite_N.argmin())
        raise ArtifactError(
            f"expected finite logits and suspicion, got NaN or infinity for frame {frame}; "
            "check the bundle with capgan-edge verify, or use precision fp32"
        )
    shifted_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    scores_N = shifted_NK.max(axis=1) / shifted_NK.sum(axis=1)
    raw_N = [None] * len(logits_NK) if raw_NK is None else [int(index) for index in raw_NK.argmax(axis=1)]
    columns = (logits_NK.argmax(axis=1), scores_N, outputs.suspicion_N, raw_N)
    return [(int(i), float(p), float(s), raw) for i, p, s, raw in zip(*columns, strict=True)]
