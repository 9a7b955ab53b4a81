"""McNemar's exact test against scipy's and by its properties; flips by hand."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_records import INT8, PAIR, cell, rights

from capgan_benchmarks.robustness.paired import Pairs, flips_between, mcnemar_p_value
from capgan_benchmarks.statistics import wilson_interval_percent

counts = st.integers(min_value=0, max_value=2000)


@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_the_exact_two_sided_binomial(b: int, c: int) -> None:
    n = b + c
    tail = sum(Fraction(comb(n, i), 2**n) for i in range(min(b, c) + 1))
    assert mcnemar_p_value(b, c) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-13)


@pytest.mark.parametrize(
    ("b", "c"), [(0, 0), (1, 0), (6, 0), (9, 21), (30, 31), (0, 1200), (510, 390), (50_000, 50_000), (50_401, 49_599)]
)
def test_p_agrees_with_scipy_up_to_a_hundred_thousand(b: int, c: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy, a dependency of no part, is the reference")
    expected = 1.0 if b + c == 0 else stats.binomtest(b, b + c, 0.5).pvalue
    assert mcnemar_p_value(b, c) == pytest.approx(expected, rel=1e-9)


@given(counts, counts)
def test_p_is_a_probability_and_does_not_say_who_is_first(b: int, c: int) -> None:
    p = mcnemar_p_value(b, c)
    assert 0 <= p <= 1
    assert mcnemar_p_value(c, b) == p


@given(counts, counts)
def test_p_falls_as_the_one_who_leads_leads_by_more(b: int, c: int) -> None:
    more, fewer = max(b, c), min(b, c)
    assert mcnemar_p_value(more + 1, fewer) <= mcnemar_p_value(more, fewer)


def test_six_against_none_is_the_smallest_that_is_significant() -> None:
    assert mcnemar_p_value(5, 0) == 2 / 32
    assert mcnemar_p_value(6, 0) == 2 / 64


def test_p_of_what_no_float_can_hold_is_zero_and_no_error() -> None:
    assert mcnemar_p_value(100_000, 0) == 0.0
    assert 0 < mcnemar_p_value(1000, 0) < 1e-300


def test_luck_alone_is_significant_less_often_than_said() -> None:
    rng = np.random.default_rng(0)
    tables = rng.multinomial(400, (0.6, 0.05, 0.05, 0.3), size=2000)
    p_values = np.array([mcnemar_p_value(int(table[1]), int(table[2])) for table in tables])
    assert 0.01 < (p_values < 0.05).mean() <= 0.05


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_pairs_count_every_frame_once(rows: list[tuple[bool, bool]]) -> None:
    first_N, second_N = np.array(rows).T
    pairs = Pairs.of(first_N, second_N)
    assert pairs.n == len(rows)
    assert pairs.drop_points == pytest.approx(100 * (first_N.mean() - second_N.mean()))
    low, high = pairs.drop_interval_95
    assert low - 1e-9 <= pairs.drop_points <= high + 1e-9
    turned = Pairs.of(second_N, first_N)
    assert (turned.p_value, turned.drop_points) == (pairs.p_value, -pairs.drop_points)


def test_flips_count_other_labels_also_where_both_are_wrong() -> None:
    held = cell({PAIR: rights(6, 3), INT8: rights(6, 3)})
    labels_N = np.array([0, 1, 2, 3, 4, 5])
    reference_N, other_N = np.array([0, 1, 2, 9, 9, 9]), np.array([0, 7, 7, 3, 8, 9])
    flips = flips_between(held, PAIR, INT8, reference_N, other_N, labels_N)
    assert (flips.scenario, flips.attack, flips.epsilon) == ("end-to-end", "PGD-40", 8 / 255)
    assert (flips.reference, flips.other, flips.n) == (PAIR, INT8, 6)
    assert (flips.num_flipped, flips.num_only_reference_right, flips.num_only_other_right) == (4, 2, 1)
    assert flips.percent == pytest.approx(100 * 4 / 6)
    assert flips.interval_95 == wilson_interval_percent(4, 6)
    assert flips.p_value == 1.0


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=60))
def test_flips_are_symmetric_and_at_least_what_changed_sides(rows: list[tuple[int, int, int]]) -> None:
    reference_N, other_N, labels_N = np.array(rows, np.int64).T
    held = cell({PAIR: rights(len(rows), 0)})
    flips = flips_between(held, PAIR, INT8, reference_N, other_N, labels_N)
    turned = flips_between(held, INT8, PAIR, other_N, reference_N, labels_N)
    assert (flips.num_flipped, flips.p_value) == (turned.num_flipped, turned.p_value)
    assert flips.num_flipped >= flips.num_only_reference_right + flips.num_only_other_right
    same = flips_between(held, PAIR, INT8, reference_N, reference_N, labels_N)
    assert (same.num_flipped, same.p_value) == (0, 1.0)
