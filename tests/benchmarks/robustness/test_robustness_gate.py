"""The gate beyond accuracy: masked gradients, a ruined detector, and the same frames under two threat models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest
from paired_records import INT8, PAIR, VICTIM, N, cell, clean, record, rights

from capgan_benchmarks.robustness.gate import held_against
from capgan_benchmarks.robustness.gate_checks import compare_checks
from capgan_benchmarks.robustness.gate_detections import compare_detections
from capgan_benchmarks.robustness.judged import has_failed
from capgan_benchmarks.robustness.junit import junit_xml
from capgan_benchmarks.robustness.record import Cell, Check, RobustnessRecord
from capgan_benchmarks.robustness.same_frames import is_judged_elsewhere
from capgan_benchmarks.robustness.suspicion import detection_of
from capgan_edge.errors import ConfigError, DataError

State = Literal["passed", "failed", "not run"]


def checked(*states: State | None, num_right: int = 100) -> RobustnessRecord:
    """A record with a self-check a state; None has none of its place."""
    checks = tuple(Check(name=f"check {i}", state=state, expected="what must be", came="what came")
                   for i, state in enumerate(states) if state is not None)  # fmt: skip
    right = {PAIR: rights(N, num_right), INT8: rights(N, num_right)}
    return record(clean({PAIR: rights(N, N), INT8: rights(N, N)}), cell(right), checks=checks)


def junit(before: RobustnessRecord, now: RobustnessRecord) -> Element:
    return fromstring(junit_xml(held_against(before, now, max_drop=1.0), now))


def test_a_defence_that_has_just_become_masked_fails_though_every_accuracy_rose() -> None:
    before, now = checked("passed", "passed", num_right=20), checked("failed", "passed", num_right=N)
    judged = held_against(before, now, max_drop=1.0)
    (failed,) = (each for each in judged if each.outcome == "failed")
    assert has_failed(judged)
    assert (failed.suite, failed.title) == ("self-checks", "check 0")
    assert failed.words.startswith("failed now, passed in the baseline: expected what must be; came what came")
    (suite,) = (each for each in junit(before, now) if each.attrib["name"] == "self-checks")
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    assert suite[1][0].attrib["type"] == "self-check"


@pytest.mark.parametrize(
    ("before", "now", "outcome", "is_said"),
    [
        ("passed", "passed", "passed", False), ("passed", "failed", "failed", True),
        ("passed", "not run", "skipped", True), ("passed", None, "skipped", True),
        ("failed", "failed", "skipped", True), ("failed", "passed", "passed", False),
        ("failed", "not run", "skipped", True), ("not run", "failed", "failed", True),
        ("not run", "not run", "skipped", False), (None, "failed", "failed", True), (None, "passed", "passed", False),
    ],
)  # fmt: skip
def test_what_becomes_of_a_self_check(before: State | None, now: State | None, outcome: str, is_said: bool) -> None:
    then, after = checked(before), checked(now)
    (held,) = compare_checks(then, after)
    assert (held.outcome, held.is_said) == (outcome, is_said)
    (case,) = (each for each in junit(then, after).iter("testcase") if "self-checks" in each.attrib["classname"])
    assert [child.tag for child in case] == {"passed": [], "failed": ["failure"], "skipped": ["skipped"]}[outcome]


def suspected(num_unnoticed: int, *, num_fooling: int = 150, systems: Sequence[str] = (PAIR, INT8)) -> RobustnessRecord:
    """Under a stealthy attack that fools `num_fooling` of N, so many raise no alarm."""
    attacked_N = np.where(np.arange(N) < num_unnoticed, 0.0, 2.0)
    is_fooled_N = np.arange(N) < num_fooling
    found = tuple(detection_of(name, np.linspace(0, 1, N), attacked_N, is_fooled_M=is_fooled_N) for name in systems)
    attacked = cell({PAIR: ~is_fooled_N, INT8: ~is_fooled_N}, scenario="stealthy")
    return record(clean({PAIR: rights(N, N), INT8: rights(N, N)}), attacked.model_copy(update={"detections": found}))


def test_a_change_that_ruins_the_detector_alone_fails() -> None:
    judged = held_against(suspected(20), suspected(60), max_drop=1.0)
    failed = [each for each in judged if each.outcome == "failed"]
    assert [(each.suite, each.title) for each in failed] == [
        ("suspicion", f"PGD-40 (stealthy), epsilon 8/255: suspicion of {system}") for system in (PAIR, INT8)
    ]
    assert "10.00 % before, 30.00 % now, rise 20.00 points [" in failed[0].words
    assert f"n = {N}, images not paired" in failed[0].words
    root = junit(suspected(20), suspected(60))
    assert root.attrib["failures"] == "2"


def test_few_more_unnoticed_cannot_be_told_from_luck_and_fewer_pass() -> None:
    for before, now, state in ((20, 25, "inconclusive"), (20, 22, "passed"), (60, 20, "passed"), (20, 20, "passed")):
        found = compare_detections(suspected(before), suspected(now), max_rise=1.0)
        assert {each.state for each in found} == {state}
        assert not has_failed(found)
        low, high = found[0].interval_95
        assert low < found[0].rise_points < high


def test_a_system_that_lost_its_suspicion_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the suspicion on PGD-40 .* model\.int8\.onnx of the baseline in this run"):
        compare_detections(suspected(20), suspected(20, systems=(PAIR,)), max_rise=1.0)


def test_a_count_of_other_frames_is_refused() -> None:
    held = suspected(20)
    detection = held.cells[1].detections[0]
    odd = detection.at_5.unnoticed.model_copy(update={"num": N + 1})
    edited = detection.model_copy(update={"at_5": detection.at_5.model_copy(update={"unnoticed": odd})})
    attacked = held.cells[1].model_copy(update={"detections": (edited, held.cells[1].detections[1])})
    with pytest.raises(DataError, match=f"at most {N} unnoticed frames of {N}, got {N + 1}"):
        compare_detections(record(held.cells[0], attacked), held, max_rise=1.0)


def twice(num_int8: int, *, num_elsewhere: int | None = None, **settings: Any) -> tuple[Cell, ...]:
    """End to end and transferred to the artifacts: the same frames, unless another number is right there."""
    right = {VICTIM: rights(N, 100), PAIR: rights(N, 100), INT8: rights(N, num_int8)}
    there = {**right, INT8: rights(N, num_int8 if num_elsewhere is None else num_elsewhere)}
    return (cell(right), cell(there, scenario="artifact-transfer", targets=(INT8,), on_twin="end-to-end", **settings))


def test_the_same_frames_are_compared_once_each_system_where_the_threat_is_about_it() -> None:
    systems = (VICTIM, PAIR, INT8)
    held = record(*twice(150), systems=systems)
    judged = held_against(held, record(*twice(100), systems=systems), max_drop=1.0)
    assert [(each.suite, each.title.split(": ")[1], each.outcome) for each in judged] == [
        ("end-to-end", PAIR, "passed"), ("artifact-transfer", INT8, "failed")]  # fmt: skip


@pytest.mark.parametrize("cells", [twice(150, num_elsewhere=149), twice(150, steps=41), twice(150)[:1]],
                         ids=["other answers", "another attack", "alone"])  # fmt: skip
def test_what_may_be_other_frames_is_compared_by_itself(cells: tuple[Cell, ...]) -> None:
    assert not is_judged_elsewhere(cells[0], INT8, "artifact", cells)
    assert not is_judged_elsewhere(cells[0], PAIR, "pair", cells)
