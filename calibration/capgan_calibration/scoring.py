"""What a graph loses against the FP32 one on the same labelled frames, clean and attacked.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_calibration.mixture import CLEAN
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.gate.statistics import paired_difference_interval, wilson_interval
from capgan_export.precision.rounding import rounded_twin

_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFrames:
    """Frames of one kind, with their true labels."""

    kind: str
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was done to them."""
        return self.kind == CLEAN


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """How the accuracy on one kind of frames compares with the FP32 graph's."""

    kind: str
    n: int
    accuracy_percent: float
    accuracy_95: tuple[float, float]
    """Wilson interval, in percent."""
    points: float
    """Percentage points lost; below 0 where some were won."""
    points_95: tuple[float, float]
    """Paired interval, in percentage points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What one graph loses."""

    drops: tuple[Drop, ...]
    divergence: float
    """Mean Kullback-Leibler divergence of its scores from the FP32 graph's on the attacked frames (on the clean ones
    where there are no others), in nats: what breaks ties where no label changes."""

    @property
    def clean_points(self) -> float:
        """Points of clean accuracy lost."""
        return _pooled([drop for drop in self.drops if drop.kind == CLEAN])

    @property
    def robust_points(self) -> float:
        """Points of accuracy under attack lost, over all attacked frames."""
        return _pooled([drop for drop in self.drops if drop.kind != CLEAN])


class Scorer:
    """Hold graphs against the FP32 one in ONNX Runtime."""

    def __init__(self, fp32_bytes: bytes, frames: Sequence[LabelledFrames]) -> None:
        self._frames = tuple(frames)
        self._fp32 = [_logits(fp32_bytes, held.frames_NHWC) for held in self._frames]
        self.baseline = self._score(self._fp32)
        """The FP32 graph itself: its accuracies, and drops of nothing."""

    def score(self, model_bytes: bytes) -> Score:
        """Run a graph of the same contract on all frames, with every FP16 value that it makes rounded."""
        rounded = rounded_twin(model_bytes)
        return self._score([_logits(rounded, held.frames_NHWC) for held in self._frames])

    def _score(self, logits: Sequence[NDArray[np.float32]]) -> Score:
        triples = list(zip(self._frames, self._fp32, logits, strict=True))
        drops = tuple(_drop(held, fp32_NK, own_NK) for held, fp32_NK, own_NK in triples)
        judged = [triple for triple in triples if not triple[0].is_clean] or triples
        divergence_N = np.concatenate([_divergence(fp32_NK, own_NK) for _, fp32_NK, own_NK in judged])
        return Score(drops=drops, divergence=float(divergence_N.mean()))


def _logits(model_bytes: bytes, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    with OrtRunner(model_bytes) as runner:
        starts = range(0, len(frames_NHWC), _BATCH)
        return np.concatenate([runner(frames_NHWC[start : start + _BATCH]).logits_NK for start in starts])


def _drop(held: LabelledFrames, fp32_NK: NDArray[np.float32], own_NK: NDArray[np.float32]) -> Drop:
    was_right_N, is_right_N = fp32_NK.argmax(1) == held.labels_N, own_NK.argmax(1) == held.labels_N
    n, num_right = len(held.labels_N), int(is_right_N.sum())
    both, lost = int((was_right_N & is_right_N).sum()), int((was_right_N & ~is_right_N).sum())
    won = num_right - both
    low, high = wilson_interval(num_right, n)
    points_low, points_high = paired_difference_interval(both, lost, won, n - both - lost - won)
    return Drop(kind=held.kind, n=n, accuracy_percent=100 * num_right / n, accuracy_95=(100 * low, 100 * high),
                points=100 * (lost - won) / n, points_95=(100 * points_low, 100 * points_high))  # fmt: skip


def _divergence(fp32_NK: NDArray[np.float32], own_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    log_p_NK, log_q_NK = _log_softmax(fp32_NK), _log_softmax(own_NK)
    divergence_N: NDArray[np.float64] = (np.exp(log_p_NK) * (log_p_NK - log_q_NK)).sum(axis=1)
    return divergence_N


def _log_softmax(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted_NK = logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True)
    log_NK: NDArray[np.float64] = shifted_NK - np.log(np.exp(shifted_NK).sum(axis=1, keepdims=True))
    return log_NK


def _pooled(drops: Sequence[Drop]) -> float:
    n = sum(drop.n for drop in drops)
    return sum(drop.points * drop.n for drop in drops) / n if n else 0.0
