"""Intervals, percentiles and ranks against values known from elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgan_benchmarks.statistics import (
    newcombe_interval_points,
    paired_interval_points,
    percentile,
    separation,
    wilson_interval_percent,
)


class Case(NamedTuple):
    name: str
    num_successes: int
    n: int
    low: float
    high: float


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson score without continuity correction).
CASES = [
    Case("81 of 263", 81, 263, 25.53, 36.62),
    Case("15 of 148", 15, 148, 6.24, 16.05),
    Case("0 of 20", 0, 20, 0.0, 16.11),
    Case("1 of 29", 1, 29, 0.61, 17.18),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_interval_is_wilsons(case: Case) -> None:
    assert wilson_interval_percent(case.num_successes, case.n) == pytest.approx((case.low, case.high), abs=0.006)


# Newcombe, Statistics in Medicine 17 (1998), 873 to 890, table II, method 10.
@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 5.24, 33.39), ((9, 10), (3, 10), 17.05, 80.90), ((6, 7), (2, 7), 5.82, 80.62),
     ((5, 56), (0, 29), -3.81, 19.26), ((0, 10), (0, 20), -16.11, 27.75), ((10, 10), (0, 20), 67.91, 100.0)],
)  # fmt: skip
def test_the_interval_of_a_difference_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe_interval_points(first, second) == pytest.approx((low, high), abs=0.006)
    assert newcombe_interval_points(second, first) == pytest.approx((-high, -low), abs=0.006)


def answers(both: int, first_only: int, second_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first_only, second_only, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


# Newcombe, Statistics in Medicine 17 (1998), 2635 to 2650, method 10: phi high, 0, and of no variation.
@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((36, 12, 2, 0), 5.69, 34.04), ((43, 0, 0, 7), -6.38, 6.38), ((50, 0, 0, 0), -7.13, 7.13),
     ((0, 29, 0, 1), 79.15, 99.41)],
)  # fmt: skip
def test_the_interval_of_a_paired_difference_is_newcombes(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    first_N, second_N = answers(*table)
    assert paired_interval_points(first_N, second_N) == pytest.approx((low, high), abs=0.006)
    assert paired_interval_points(second_N, first_N) == pytest.approx((-high, -low), abs=0.006)


@given(st.tuples(*[st.integers(0, 500)] * 4).filter(lambda counts: sum(counts) > 0))
def test_a_paired_interval_holds_the_difference_and_is_narrower_where_answers_go_together(
    counts: tuple[int, int, int, int],
) -> None:
    first_N, second_N = answers(*counts)
    n, points = len(first_N), 100 * (first_N.mean() - second_N.mean())
    low, high = paired_interval_points(first_N, second_N)
    assert low - 1e-9 <= points <= high + 1e-9
    apart = newcombe_interval_points((int(first_N.sum()), n), (int(second_N.sum()), n))
    together = counts[0] * counts[3] - counts[1] * counts[2]
    if together >= 0:
        assert apart[0] - 1e-9 <= low
        assert high <= apart[1] + 1e-9
    else:
        assert low <= apart[0] + 1e-9
        assert apart[1] - 1e-9 <= high


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_a_percentage(pair: tuple[int, int]) -> None:
    num_successes, n = pair
    low, high = wilson_interval_percent(num_successes, n)
    assert 0 <= low <= 100 * num_successes / n + 1e-9
    assert 100 * num_successes / n - 1e-9 <= high <= 100
    assert low < high


def test_the_interval_of_all_mirrors_that_of_none() -> None:
    low, high = wilson_interval_percent(0, 50)
    assert wilson_interval_percent(50, 50) == pytest.approx((100 - high, 100 - low))


def test_percentiles_are_values_of_the_list_and_the_median_is_the_middle() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 50) == 50.5
    assert percentile(values, 90) == 90
    assert percentile(values, 99) == 99
    assert percentile([7.0], 90) == 7


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert separation(np.array([0.0, 0.1]), np.array([0.5, 0.9])) == 1
    assert separation(np.array([0.5, 0.9]), np.array([0.0, 0.1])) == 0
    assert separation(np.array([0.5, 0.5]), np.array([0.5])) == 0.5
    assert separation(np.array([0.0, 0.4]), np.array([0.3, 0.4])) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
