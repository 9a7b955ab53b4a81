"""The gate for CI: what it fails, what it passes, and what so few images cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_records import EPSILON, INT8, PAIR, VICTIM, N, cell, clean, of_right, record, rights

from capgan_benchmarks.robustness.baseline import compare
from capgan_benchmarks.robustness.judged import has_failed
from capgan_benchmarks.robustness.record import RobustnessRecord, packed, read_record, write_record
from capgan_edge.errors import ConfigError, DataError


def test_a_drop_that_is_large_and_no_luck_fails_and_names_its_figures() -> None:
    comparisons = compare(of_right(150), of_right(130, sha256="b" * 64), max_drop=1.0)
    assert [(each.scenario, each.system, each.state) for each in comparisons] == [
        ("clean", PAIR, "passed"), ("clean", INT8, "passed"),
        ("end-to-end", PAIR, "dropped"), ("end-to-end", INT8, "passed"),
    ]  # fmt: skip
    assert has_failed(comparisons)
    fallen = comparisons[2]
    assert (fallen.n, fallen.before_percent, fallen.now_percent, fallen.drop_points) == (N, 75.0, 65.0, 10.0)
    assert fallen.interval_95[0] < 10.0 < fallen.interval_95[1]
    assert fallen.p_value == 2.0 / 2**20
    assert "dropped: 75.00 % before, 65.00 % now, drop 10.00 points [" in fallen.words
    assert "20 lost, 0 won" in fallen.words


def test_a_drop_of_clean_accuracy_fails_too() -> None:
    fallen = clean({PAIR: rights(N, 150), INT8: rights(N, N - 10)})
    now = record(fallen, of_right(150).cells[1])
    states = {(each.scenario, each.system): each.state for each in compare(of_right(150), now, max_drop=1.0)}
    assert states[("clean", PAIR)] == "dropped"
    assert sorted(states.values()) == ["dropped", "passed", "passed", "passed"]


def test_a_drop_that_so_few_images_cannot_tell_from_luck_is_inconclusive_and_fails_nothing() -> None:
    comparisons = compare(of_right(150), of_right(145), max_drop=1.0)
    assert [each.state for each in comparisons] == ["passed", "passed", "inconclusive", "passed"]
    assert not has_failed(comparisons)
    assert comparisons[2].smallest_drop == 3.0  # six of 200 images, where none is won
    assert "inconclusive, n too small" in comparisons[2].words
    assert "the smallest drop that fails is 3.00 points" in comparisons[2].words


def test_what_is_allowed_passes_however_sure_it_is() -> None:
    comparisons = compare(of_right(150), of_right(130), max_drop=10.0)
    assert {each.state for each in comparisons} == {"passed"}


def test_the_same_losses_with_as_many_wins_are_no_drop() -> None:
    before, now = np.arange(N) < 100, np.arange(N) >= 100
    others = {INT8: rights(N, 150)}
    found = compare(record(cell({PAIR: before, **others})), record(cell({PAIR: now, **others})), max_drop=0.0)
    assert [each.state for each in found] == ["passed", "passed"]


def test_where_the_baseline_has_nothing_to_lose_that_is_said() -> None:
    (comparison, _) = compare(record(cell({PAIR: rights(N, 3), INT8: rights(N, 150)})),
                              record(cell({PAIR: rights(N, 0), INT8: rights(N, 150)})), max_drop=1.0)  # fmt: skip
    assert (comparison.state, comparison.smallest_drop) == ("inconclusive", None)
    assert "too little to lose" in comparison.words


def test_a_bare_victim_is_compared_where_it_is_what_is_attacked_and_on_clean_images() -> None:
    def held(num_victim: int) -> RobustnessRecord:
        right = {VICTIM: rights(N, num_victim), PAIR: rights(N, 100)}
        aside, aimed = cell(right), cell(right, scenario="white-box-victim", targets=(VICTIM, PAIR))
        return record(clean(right), aside, aimed, systems=(VICTIM, PAIR))

    found = [(each.scenario, each.system) for each in compare(held(150), held(100), max_drop=1.0)]
    assert found == [("clean", VICTIM), ("clean", PAIR), ("end-to-end", PAIR),
                     ("white-box-victim", VICTIM), ("white-box-victim", PAIR)]  # fmt: skip


def test_an_attack_that_is_made_once_for_each_artifact_is_compared_once_for_each() -> None:
    def held(num_own: int) -> RobustnessRecord:
        right = {PAIR: rights(N, 100), INT8: rights(N, 100)}
        own = {PAIR: rights(N, 100), INT8: rights(N, num_own)}
        return record(cell(right, scenario="artifact-query", targets=(PAIR,)),
                      cell(own, scenario="artifact-query", targets=(INT8,)))  # fmt: skip

    found = compare(held(100), held(50), max_drop=1.0)
    assert [(each.variant, each.system, each.state) for each in found] == [
        ("against purified (torch)", PAIR, "passed"), ("against purified (torch)", INT8, "passed"),
        ("against model.int8.onnx", PAIR, "passed"), ("against model.int8.onnx", INT8, "dropped"),
    ]  # fmt: skip


def test_attacks_of_one_name_are_told_apart_by_their_settings() -> None:
    def held(first: int, second: int) -> RobustnessRecord:
        cells = [cell({PAIR: rights(N, right)}, attack="Square-5000", restarts=restarts)
                 for restarts, right in ((1, first), (5, second))]  # fmt: skip
        return record(*cells, systems=(PAIR,))

    found = compare(held(100, 90), held(100, 40), max_drop=1.0)
    assert [(each.title, each.state) for each in found] == [
        ("Square-5000, epsilon 8/255, restarts 1: purified (torch)", "passed"),
        ("Square-5000, epsilon 8/255, restarts 5: purified (torch)", "dropped"),
    ]


bits = st.lists(st.booleans(), min_size=1, max_size=80)
allowed = st.floats(0, 100)


@given(bits, allowed)
def test_a_record_compared_with_itself_passes(right: list[bool], max_drop: float) -> None:
    held = record(cell({PAIR: np.array(right)}), systems=(PAIR,))
    (comparison,) = compare(held, held, max_drop=max_drop)
    assert (comparison.state, comparison.drop_points, comparison.p_value) == ("passed", 0.0, 1.0)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300), allowed, st.randoms())
def test_the_smallest_drop_is_where_the_gate_begins_to_fail(
    rows: list[tuple[bool, bool]], max_drop: float, random: Any
) -> None:
    random.shuffle(rows)
    before, now = np.array(rows).T
    (held,) = compare(record(cell({PAIR: before}), systems=(PAIR,)), record(cell({PAIR: now}), systems=(PAIR,)),
                      max_drop=max_drop)  # fmt: skip
    is_seen = held.smallest_drop is not None and held.drop_points >= held.smallest_drop
    assert (held.state == "dropped") == is_seen
    if held.smallest_drop is not None:
        assert held.smallest_drop > max_drop


@given(st.integers(0, N), st.integers(0, N), allowed, allowed)
def test_a_gate_that_allows_more_fails_less(before: int, now: int, one: float, other: float) -> None:
    least, most = sorted((one, other))
    strict, lax = (has_failed(compare(of_right(before), of_right(now), max_drop=each)) for each in (least, most))
    assert strict or not lax


def test_a_record_read_back_is_compared_as_the_one_in_memory(tmp_path: Path) -> None:
    held = record(cell({PAIR: rights(N, 10)}, size=(32, 32), temperature=0.1), systems=(PAIR,))
    write_record(tmp_path / "baseline.json", held)
    (comparison,) = compare(read_record(tmp_path / "baseline.json"), held, max_drop=0.0)
    assert comparison.drop_points == 0.0


def test_a_baseline_whose_bits_are_no_base64_is_one_line(tmp_path: Path) -> None:
    write_record(path := tmp_path / "baseline.json", of_right(150))
    path.write_text(path.read_text().replace(packed(rights(N, 150)), "A"))
    with pytest.raises(DataError, match="right"):
        read_record(path)


def test_a_gate_that_would_compare_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected scores to compare, got none"):
        compare(record(), record(), max_drop=1.0)


@pytest.mark.parametrize("max_drop", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_max_drop_out_of_range_is_refused(max_drop: float) -> None:
    with pytest.raises(ConfigError, match=r"in points, in \[0, 100\], got"):
        compare(of_right(150), of_right(150), max_drop=max_drop)


def test_the_epsilon_of_titles_is_in_levels() -> None:
    (first, *_) = compare(record(cell({PAIR: rights(N, 9)}, epsilon=EPSILON), systems=(PAIR,)),
                          record(cell({PAIR: rights(N, 9)}, epsilon=EPSILON), systems=(PAIR,)), max_drop=1)  # fmt: skip
    assert first.title == "PGD-40, epsilon 8/255: purified (torch)"
