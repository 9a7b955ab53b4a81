"""Intervals of shares: of one, and of the difference of two that were measured on the same frames."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054
"""97.5th percentile of the normal distribution."""


def wilson_interval(num_successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share, in [0, 1]; it does not shrink to a point at 0 and at n."""
    assert 0 <= num_successes <= n, (num_successes, n)
    assert n > 0
    share, z2 = num_successes / n, _Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if num_successes == 0 else max(0.0, centre - half)
    high = 1.0 if num_successes == n else min(1.0, centre + half)
    return low, high


def paired_difference_interval(num_both: int, num_first: int, num_second: int, num_neither: int) -> tuple[float, float]:
    """Return the 95 % interval of the first share minus the second, both of the same frames, in [-1, 1].

    Newcombe's square-and-add interval for paired shares (method 10 in Statistics in Medicine 17, 2635 to 2650, 1998):
    the two Wilson intervals, narrowed by the correlation of the pairs. Two graphs that are right on the same frames
    have a narrow one, however hard the frames are; and it is sound where hardly a frame is decided differently.

    Args:
        num_both: frames on which both are right.
        num_first: on which the first alone is.
        num_second: on which the second alone is.
        num_neither: on which neither is.
    """
    counts = (num_both, num_first, num_second, num_neither)
    n = sum(counts)
    assert min(counts) >= 0, counts
    assert n > 0
    first, second = num_both + num_first, num_both + num_second
    p, q = first / n, second / n
    (p_low, p_high), (q_low, q_high) = wilson_interval(first, n), wilson_interval(second, n)
    phi = _correlation(*counts)
    below = _square_and_add(p - p_low, q_high - q, phi)
    above = _square_and_add(p_high - p, q - q_low, phi)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def _correlation(num_both: int, num_first: int, num_second: int, num_neither: int) -> float:
    """Return phi of the fourfold table, pulled towards 0 by Newcombe's continuity correction where it is positive."""
    n = num_both + num_first + num_second + num_neither
    margins = ((num_both + num_first) * (num_second + num_neither)
               * (num_both + num_second) * (num_first + num_neither))  # fmt: skip
    if margins == 0:
        return 0.0
    cross: float = num_both * num_neither - num_first * num_second
    if cross > 0:
        cross = max(0.0, cross - n / 2)
    return cross / math.sqrt(margins)


def _square_and_add(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))
