"""What is said of a sample is what can be counted in it, and nothing that n does not allow."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

import pytest

from capgan_benchmarks.latency.sample import allowed_percentile, early_stopping_ms, summarise

HUNDRED = [float(value) for value in range(1, 101)]


def test_a_known_sample_has_known_percentiles() -> None:
    held = summarise(HUNDRED[::-1], batch=4)
    assert (held.n, held.min_ms, held.max_ms, held.mean_ms) == (100, 1.0, 100.0, 50.5)
    assert (held.p50_ms, held.p90_ms, held.p95_ms) == (50.5, 90.0, 95.0)
    assert held.cov_percent == pytest.approx(100 * math.sqrt(sum((v - 50.5) ** 2 for v in HUNDRED) / 99) / 50.5)
    assert held.frames_per_s == pytest.approx(4 * 1000 / 50.5)
    assert {round(each.deadline_ms): each.share for each in held.misses} == {33: 0.67, 50: 0.5, 100: 0.0}


def test_high_percentiles_are_said_only_where_ten_queries_lie_beyond() -> None:
    assert summarise(HUNDRED * 9, batch=1).p99_ms is None
    many = summarise(HUNDRED * 10, batch=1)
    assert (many.p99_ms, many.p99_9_ms) == (99.0, None)
    assert summarise([*([1.0] * 9990), *([7.0] * 10)], batch=1).p99_9_ms == 1.0
    assert allowed_percentile([1.0] * 9989 + [7.0] * 11, 99.9) == 7.0


def test_one_query_is_a_sample() -> None:
    held = summarise([5.0], batch=1)
    assert (held.p50_ms, held.p95_ms, held.cov_percent) == (5.0, 5.0, 0.0)


@pytest.mark.parametrize(("n", "percent"), [(500, 90.0), (1000, 90.0), (2000, 99.0), (64, 90.0)])
def test_early_stopping_is_the_binomial_bound(n: int, percent: float) -> None:
    beyond = 1 - Fraction(str(percent)) / 100
    chances = (math.comb(n, count) * beyond**count * (1 - beyond) ** (n - count) for count in range(n // 8))
    dropped = max(count for count, total in enumerate(accumulate(chances)) if total <= Fraction(1, 100))
    ordered = [float(value) for value in range(n)]
    assert early_stopping_ms(ordered[::-1], percent) == ordered[n - dropped] >= percent / 100 * n - 1


def test_early_stopping_needs_enough_queries() -> None:
    assert early_stopping_ms([1.0] * 40, 90.0) is None
