"""Two systems on the same frames: how often they differ, and whether one is right more often by more than luck.

Shapes: N frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Cell, Flips
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_export.gate.statistics import paired_difference_interval

SIGNIFICANT = 0.05
_NEGLIGIBLE = 1e-18
"""Of a sum that is at least 1: below what a float can tell."""


def mcnemar_p_value(num_only_first: int, num_only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test that neither of two is right more often than the other.

    Frames on which both are right, or neither, say nothing about that; the others go either way like a fair coin. So it
    is the probability of at least as uneven a split of them; 1 where there are none.

    Args:
        num_only_first: frames on which the first alone is right.
        num_only_second: frames on which the second alone is.
    """
    n, fewer = num_only_first + num_only_second, min(num_only_first, num_only_second)
    assert fewer >= 0, (num_only_first, num_only_second)
    if 2 * fewer == n:
        return 1.0
    return min(1.0, 2 * _share_of_tail(n, fewer))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values as Holm corrects them (1979), in their order: below alpha where alpha holds for all of them.

    Of true hypotheses in such a family one is rejected with a probability of alpha at most, however they depend on one
    another: the smallest p counts as many times as there are tests, the next one time less.
    """
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return tuple(corrected)


def _share_of_tail(n: int, k: int) -> float:
    """Return the probability of at most k heads of n, k below n / 2.

    The largest term is divided as integers, which rounds once; from there each is a share of the one before.
    """
    shares, share = [1.0], 1.0
    for i in range(k, 0, -1):
        share *= i / (n - i + 1)
        if share < _NEGLIGIBLE:
            break
        shares.append(share)
    return math.comb(n, k) / (1 << n) * math.fsum(shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Two systems on the same frames: on how many each of them is right."""

    num_both: int
    num_first: int
    """The first alone is."""
    num_second: int
    """The second alone is."""
    num_neither: int

    @classmethod
    def of(cls, first_N: NDArray[np.bool_], second_N: NDArray[np.bool_]) -> Pairs:
        """Count, from whether each is right on each frame."""
        assert first_N.shape == second_N.shape
        both, first, second = (
            int(are_N.sum()) for are_N in (first_N & second_N, first_N & ~second_N, ~first_N & second_N)
        )
        return cls(num_both=both, num_first=first, num_second=second, num_neither=len(first_N) - both - first - second)

    @property
    def n(self) -> int:
        """Frames in all."""
        return self.num_both + self.num_first + self.num_second + self.num_neither

    @property
    def drop_points(self) -> float:
        """Accuracy of the first minus that of the second, in percentage points."""
        return 100 * (self.num_first - self.num_second) / self.n

    @property
    def drop_interval_95(self) -> tuple[float, float]:
        """Of the drop, in points; Newcombe's for paired shares."""
        low, high = paired_difference_interval(self.num_both, self.num_first, self.num_second, self.num_neither)
        return 100 * low, 100 * high

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided."""
        return mcnemar_p_value(self.num_first, self.num_second)

    def smallest_significant_points(self, num_tests: int) -> float | None:
        """Return the smallest drop that is significant as one of so many tests, with as many won; None where none is.

        In points; Holm's correction asks most of the first, which is what a lone drop has to pass.
        """
        for num_first in range(self.num_second + 1, self.n - self.num_second + 1):
            if num_tests * mcnemar_p_value(num_first, self.num_second) < SIGNIFICANT:
                return 100 * (num_first - self.num_second) / self.n
        return None


def flips_between(
    cell: Cell,
    reference: str,
    other: str,
    labels_reference_N: NDArray[np.int64],
    labels_other_N: NDArray[np.int64],
    labels_N: NDArray[np.int64],
) -> Flips:
    """Return how two systems differ on the frames of a cell.

    Args:
        cell: whose frames they are.
        reference: name of the system that the other is held against.
        other: name of the other.
        labels_reference_N: classes that the reference gave the frames.
        labels_other_N: classes that the other gave them.
        labels_N: the true ones.
    """
    assert labels_reference_N.shape == labels_other_N.shape == labels_N.shape == (cell.n,)
    num_flipped = int((labels_reference_N != labels_other_N).sum())
    pairs = Pairs.of(np.equal(labels_reference_N, labels_N), np.equal(labels_other_N, labels_N))
    return Flips(
        scenario=cell.scenario, attack=cell.attack, epsilon=cell.epsilon, reference=reference, other=other, n=cell.n,
        num_flipped=num_flipped, percent=100 * num_flipped / cell.n,
        interval_95=wilson_interval_percent(num_flipped, cell.n), num_only_reference_right=pairs.num_first,
        num_only_other_right=pairs.num_second, p_value=pairs.p_value,
    )  # fmt: skip
