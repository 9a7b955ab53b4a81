"""A straight line through samples in time, with an interval that knows that neighbours resemble each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NUM_BLOCKS = 20
LEAST_SAMPLES = 8
"""Fewer say nothing of a slope."""
_Z = 1.959963984540054
"""97.5th percentile of the normal distribution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """Change per second of what was sampled."""

    value: float
    low: float
    high: float
    """Ends of the 95 % interval."""

    @property
    def is_growth(self) -> bool:
        """The whole interval is above zero: what grows is more than noise."""
        return self.low > 0


def fit_slope(times_s: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line by least squares to the means of up to 20 blocks of neighbouring samples.

    What is left of each block is not independent of the next (memory moves in steps), so the blocks count as fewer:
    n (1 - r) / (1 + r) for a correlation r of neighbours. A single step is thereby noise, a staircase is growth.
    """
    n = len(times_s)
    assert n == len(values)
    assert n >= LEAST_SAMPLES, n
    parts = np.array_split(np.arange(n), min(_NUM_BLOCKS, n // 2))
    t_B = np.array([np.mean([times_s[each] for each in part]) for part in parts])
    y_B = np.array([np.mean([values[each] for each in part]) for part in parts])
    t_B = t_B - t_B.mean()
    slope = float(t_B @ (y_B - y_B.mean()) / (t_B @ t_B))
    rest_B = y_B - y_B.mean() - slope * t_B
    counted = max(3.0, len(parts) * _share_that_counts(rest_B))
    deviation = math.sqrt(float(rest_B @ rest_B) / len(parts) * counted / (counted - 2))
    half = _t_95(int(counted) - 2) * deviation / math.sqrt(float(t_B @ t_B) / len(parts) * counted)
    return Slope(value=slope, low=slope - half, high=slope + half)


def _share_that_counts(rest_B: NDArray[np.float64]) -> float:
    """Return the share of the blocks that are as good as independent; never more than all of them."""
    whole = float(rest_B @ rest_B)
    r = float(rest_B[1:] @ rest_B[:-1]) / whole if whole > 0 else 0.0
    r = min(max(r, 0.0), 0.99)
    return (1 - r) / (1 + r)


def _t_95(freedom: int) -> float:
    """Return the 97.5th percentile of Student's t: exact for one and two degrees of freedom, else to 0.03."""
    if freedom == 1:
        return 12.706204736432095
    if freedom == 2:
        return 4.302652729911275
    z, v = _Z, freedom
    return (z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3))  # fmt: skip
