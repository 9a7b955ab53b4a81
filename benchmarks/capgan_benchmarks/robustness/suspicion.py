"""How well suspicion tells attacked frames from clean ones: what fools unnoticed, and the area under the ROC curve.

Shapes: N clean frames, M attacked frames.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Alarm, Counted, Detection
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.errors import DataError


def detection_of(
    system: str, clean_N: NDArray[np.floating], attacked_M: NDArray[np.floating], *, is_fooled_M: NDArray[np.bool_]
) -> Detection:
    """Return how one system's suspicion of attacked frames stands to its suspicion of clean ones.

    A detector that nobody attacked is not measured: these figures mean what the attack behind `attacked_M` means.

    Args:
        system: its name.
        clean_N: its suspicion of clean frames.
        attacked_M: its suspicion of attacked ones.
        is_fooled_M: whether it labels them wrongly. An alarm at a frame that fools nobody keeps nothing out.

    Raises:
        DataError: there is no frame of a kind, or a suspicion is no number.
    """
    assert is_fooled_M.shape == attacked_M.shape
    for noun, suspicion_N in (("clean", clean_N), ("attacked", attacked_M)):
        if suspicion_N.ndim != 1 or not len(suspicion_N) or np.isnan(suspicion_N).any():
            raise DataError(
                f"{system}: expected one suspicion for each of at least one {noun} frame, got shape "
                f"{suspicion_N.shape} with {int(np.isnan(suspicion_N).sum())} that are no number; check the artifact "
                "with capgan-edge verify"
            )
    at_1, at_5 = (_alarm(attacked_M > threshold(clean_N, false_alarms=rate), is_fooled_M) for rate in (0.01, 0.05))
    return Detection(system=system, num_clean=len(clean_N), num_attacked=len(attacked_M),
                     num_fooling=int(is_fooled_M.sum()), roc_auc=roc_auc(clean_N, attacked_M), at_1=at_1,
                     at_5=at_5)  # fmt: skip


def _alarm(is_detected_M: NDArray[np.bool_], is_fooled_M: NDArray[np.bool_]) -> Alarm:
    return Alarm(
        unnoticed=_share(is_fooled_M & ~is_detected_M),
        detected_of_fooling=_share(is_detected_M[is_fooled_M]) if is_fooled_M.any() else None,
        detected=_share(is_detected_M),
    )


def _share(is_counted_M: NDArray[np.bool_]) -> Counted:
    num, n = int(is_counted_M.sum()), len(is_counted_M)
    return Counted(num=num, n=n, percent=100 * num / n, interval_95=wilson_interval_percent(num, n))


def roc_auc(clean_N: NDArray[np.floating], attacked_M: NDArray[np.floating]) -> float:
    """Return how often an attacked frame is more suspicious than a clean one, ties counting half; by ranks."""
    ordered_N = np.sort(clean_N)
    num_below_M = np.searchsorted(ordered_N, attacked_M, side="left")
    num_not_above_M = np.searchsorted(ordered_N, attacked_M, side="right")
    halves = int(num_below_M.sum()) + int(num_not_above_M.sum())
    return halves / (2 * len(clean_N) * len(attacked_M))


def threshold(clean_N: NDArray[np.floating], *, false_alarms: float) -> float:
    """Return the lowest clean value that at most `false_alarms` of the clean frames exceed.

    A frame raises the alarm above it, not at it: ties cost detections, never alarms. Of fewer clean frames than one in
    `false_alarms`, none may exceed it.
    """
    most = math.floor(false_alarms * len(clean_N) + 1e-9)  # 0.01 times 300 comes out just below 3 in floats
    return float(np.sort(clean_N)[len(clean_N) - 1 - most])
