"""How well suspicion tells attacked frames from clean ones: area under the ROC curve, and detection at false alarms.

Shapes: N clean frames, M attacked frames.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Detection
from capgan_edge.errors import DataError


def detection_of(system: str, clean_N: NDArray[np.floating], attacked_M: NDArray[np.floating]) -> Detection:
    """Return how one system's suspicion of attacked frames stands to its suspicion of clean ones.

    A detector that nobody attacked is not measured: these figures mean what the attack behind `attacked_M` means.

    Raises:
        DataError: there is no frame of a kind, or a suspicion is no number.
    """
    for noun, suspicion_N in (("clean", clean_N), ("attacked", attacked_M)):
        if suspicion_N.ndim != 1 or not len(suspicion_N) or np.isnan(suspicion_N).any():
            raise DataError(
                f"{system}: expected one suspicion for each of at least one {noun} frame, got shape "
                f"{suspicion_N.shape} with {int(np.isnan(suspicion_N).sum())} that are no number; check the artifact "
                "with capgan-edge verify"
            )
    return Detection(system=system, num_clean=len(clean_N), num_attacked=len(attacked_M),
                     roc_auc=roc_auc(clean_N, attacked_M),
                     detected_percent_at_1=detected_percent(clean_N, attacked_M, false_alarms=0.01),
                     detected_percent_at_5=detected_percent(clean_N, attacked_M, false_alarms=0.05))  # fmt: skip


def roc_auc(clean_N: NDArray[np.floating], attacked_M: NDArray[np.floating]) -> float:
    """Return how often an attacked frame is more suspicious than a clean one, ties counting half; by ranks."""
    ordered_N = np.sort(clean_N)
    num_below_M = np.searchsorted(ordered_N, attacked_M, side="left")
    num_not_above_M = np.searchsorted(ordered_N, attacked_M, side="right")
    halves = int(num_below_M.sum()) + int(num_not_above_M.sum())
    return halves / (2 * len(clean_N) * len(attacked_M))


def detected_percent(clean_N: NDArray[np.floating], attacked_M: NDArray[np.floating], *, false_alarms: float) -> float:
    """Return the share of attacked frames above the lowest clean value that at most `false_alarms` of the clean exceed.

    Frames at the threshold are not above it: ties cost detections, never alarms. Of fewer clean frames than one in
    `false_alarms`, none may exceed it.
    """
    most = math.floor(false_alarms * len(clean_N) + 1e-9)  # 0.01 times 300 comes out just below 3 in floats
    threshold = np.sort(clean_N)[len(clean_N) - 1 - most]
    return 100 * float((attacked_M > threshold).mean())
