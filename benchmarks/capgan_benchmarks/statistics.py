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


def paired_interval_points(first_N: NDArray[np.bool_], second_N: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95 % interval of the first share minus the second, in points, of the same N images.

    Newcombe (1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data"), method 10: that of unrelated samples, narrowed by how far the two go together.

    Args:
        first_N: which images the first has right.
        second_N: which the second has, in the same order.
    """
    assert first_N.shape == second_N.shape
    n, num_both = len(first_N), int(np.count_nonzero(first_N & second_N))
    num_first, num_second = int(np.count_nonzero(first_N)), int(np.count_nonzero(second_N))
    (p, (p_low, p_high)), (q, (q_low, q_high)) = ((num / n, wilson_interval(num, n)) for num in (num_first, num_second))
    phi = _correlation(n, num_both, num_first, num_second)
    low = p - q - _hypot(p - p_low, q_high - q, phi)
    high = p - q + _hypot(p_high - p, q - q_low, phi)
    return 100 * low, 100 * high


def _correlation(n: int, num_both: int, num_first: int, num_second: int) -> float:
    """Return phi of two answers, with Newcombe's correction for continuity; 0 where one of them never varies."""
    scale = math.sqrt(num_first * (n - num_first) * num_second * (n - num_second))
    if scale == 0:
        return 0.0
    # Of the fourfold table a, b, c, d: a * d - b * c.
    together = num_both * (n - num_first - num_second + num_both) - (num_first - num_both) * (num_second - num_both)
    return (max(together - n / 2, 0.0) if together > 0 else together) / scale


def _hypot(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))


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
