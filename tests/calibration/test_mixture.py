"""Mixtures: parsed from text, counted exactly, and refused where they make no sense."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgan_calibration.mixture import KINDS, Mixture, mixture_from_text
from capgan_edge.errors import ConfigError


class Case(NamedTuple):
    text: str
    n: int
    counts: dict[str, int]


CASES = [
    Case("clean", 5, {"clean": 5}),
    Case("clean:1,adversarial:1", 512, {"clean": 256, "adversarial": 256}),
    Case("clean, adversarial", 5, {"clean": 3, "adversarial": 2}),
    Case("purified:0.2,clean:0.6", 8, {"purified": 2, "clean": 6}),
    Case("clean:1,adversarial:1,adversarial-end-to-end:1", 10,
         {"clean": 4, "adversarial": 3, "adversarial-end-to-end": 3}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_counts_follow_the_ratios(case: Case) -> None:
    assert mixture_from_text(case.text).counts(case.n) == case.counts


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=len(KINDS)), st.integers(0, 2000))
def test_counts_add_up_and_are_within_one_of_the_exact_share(ratios: list[float], n: int) -> None:
    mixture = Mixture(tuple(zip(KINDS, ratios, strict=False)))
    exact = [n * ratio / sum(ratios) for ratio in ratios]
    try:
        counts = mixture.counts(n)
    except ConfigError:
        assert min(exact) < 1
        return
    assert sum(counts.values()) == n
    assert all(abs(count - share) < 1 for count, share in zip(counts.values(), exact, strict=True))


def test_only_clean_frames_need_no_attack() -> None:
    assert not mixture_from_text("clean").needs_attack
    assert mixture_from_text("clean,purified").needs_attack


@pytest.mark.parametrize(
    "text", ["", "dirty", "clean:0", "clean:-1", "clean:nan", "clean:inf", "clean:much", "clean:1,clean:2", "clean:1:2"]
)
def test_what_is_no_mixture_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        mixture_from_text(text)


def test_a_kind_that_would_get_no_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of adversarial among 10 frames"):
        mixture_from_text("clean:100,adversarial:1").counts(10)
