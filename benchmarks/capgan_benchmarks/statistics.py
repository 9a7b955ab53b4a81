"""Intervals, percentiles and ranks: what a figure needs beside its value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capgan_export.gate.statistics import wilson_interval


def wilson_interval_percent(num_successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share, in percent.

    Unlike the textbook interval it stays within [0, 100] and does not shrink to a point at 0 and at n successes.
    """
    low, high = wilson_interval(num_successes, n)
    return 100 * low, 100 * high


def newcombe_interval_points(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Return the 95 % interval of the first share minus the second, in points, of two unrelated samples.

    Newcombe (1998, "Interval estimation for the difference between independent proportions"), method 10. Of the same
    images it is wider than need be.

    Args:
        first: successes, and of how many.
        second: likewise.
    """
    (p, (p_low, p_high)), (q, (q_low, q_high)) = ((num / n, wilson_interval(num, n)) for num, n in (first, second))
    low, high = p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low)
    return 100 * low, 100 * high


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed: one of them, by trtexec's index; the 50th is the
    median, the mean of the middle two.
    """
    ordered = sorted(values)
    n = len(ordered)
    assert n > 0
    assert 0 < percent <= 100
    if percent == 50:
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return ordered[max(0, n - 1 - int((100 - percent) * n / 100 + 1e-9))]  # 100 - 99.9 is a little less than 0.1


def separation(low_N: NDArray[np.float64], high_M: NDArray[np.float64]) -> float:
    """Return how often a value of `high_M` exceeds one of `low_N` (ties count half): the area under the ROC curve."""
    assert len(low_N) > 0
    assert len(high_M) > 0
    difference_MN = high_M[:, None] - low_N[None, :]
    return float((difference_MN > 0).mean() + 0.5 * (difference_MN == 0).mean())
