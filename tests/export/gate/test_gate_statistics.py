"""Intervals of shares: against published figures, and their coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgan_export.gate.statistics import paired_difference_interval, wilson_interval

counts = st.integers(min_value=0, max_value=300)


def test_wilson_agrees_with_newcombes_table() -> None:
    # Newcombe, Statistics in Medicine 17, 857 to 872 (1998), table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(counts, counts, counts, counts)
def test_the_paired_interval_holds_the_difference_and_mirrors(a: int, b: int, c: int, d: int) -> None:
    n = a + b + c + d
    if n == 0:
        return
    low, high = paired_difference_interval(a, b, c, d)
    assert -1 <= low <= (b - c) / n + 1e-12
    assert (b - c) / n - 1e-12 <= high <= 1
    assert paired_difference_interval(a, c, b, d) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("shares", [(0.9, 0.03, 0.01, 0.06), (0.1, 0.02, 0.02, 0.86), (0.97, 0.01, 0.01, 0.01)])
def test_the_paired_interval_covers_the_true_difference_as_often_as_it_says(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    truth = shares[1] - shares[2]
    tables = rng.multinomial(256, shares, size=4000)
    covered = [low <= truth <= high for low, high in (paired_difference_interval(*map(int, table)) for table in tables)]
    assert np.mean(covered) > 0.94


def test_pairing_narrows_the_interval() -> None:
    """Half the frames are hard: alone each share is known to 6 points, the difference of the two far better."""
    low, high = paired_difference_interval(120, 4, 2, 130)
    first, second = wilson_interval(124, 256), wilson_interval(122, 256)
    assert high - low < 0.6 * min(first[1] - first[0], second[1] - second[0])
