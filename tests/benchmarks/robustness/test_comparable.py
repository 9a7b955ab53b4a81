"""Every baseline that the gate refuses to compare with, and the difference that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from paired_records import INT8, PAIR, N, cell, of_right, record, rights

from capgan_benchmarks.robustness.baseline import compare
from capgan_benchmarks.robustness.record import RobustnessRecord, packed
from capgan_edge.errors import ConfigError, DataError


class Refusal(NamedTuple):
    name: str
    change: Callable[[RobustnessRecord], RobustnessRecord]
    message: str


def _data(**changes: Any) -> Callable[[RobustnessRecord], RobustnessRecord]:
    return lambda held: held.model_copy(update={"data": held.data.model_copy(update=changes)})


def _run(**changes: Any) -> Callable[[RobustnessRecord], RobustnessRecord]:
    return lambda held: held.model_copy(update=changes)


def _attack(**changes: Any) -> Callable[[RobustnessRecord], RobustnessRecord]:
    return lambda held: held.model_copy(
        update={"cells": (held.cells[0], held.cells[1].model_copy(update=changes), *held.cells[2:])}
    )


def _settings(**changes: Any) -> Callable[[RobustnessRecord], RobustnessRecord]:
    return lambda held: _attack(settings={**held.cells[1].settings, **changes})(held)


def _cells(*kept: int) -> Callable[[RobustnessRecord], RobustnessRecord]:
    return lambda held: held.model_copy(update={"cells": tuple(held.cells[i] for i in kept)})


def _fewer_scores(held: RobustnessRecord) -> RobustnessRecord:
    return _attack(scores=held.cells[1].scores[:1])(held)


def _fewer_systems(held: RobustnessRecord) -> RobustnessRecord:
    return held.model_copy(update={"systems": held.systems[:1]})


REFUSALS = [
    Refusal("data set", _data(name="gtsrb32/test"), r"expected data name signs-32/test .*, got gtsrb32/test; make a"),
    Refusal("n", _data(n=100), "expected data n 200 as in the baseline, got 100"),
    Refusal("choice of images", _data(seed=1), "expected data seed 0 as in the baseline, got 1"),
    Refusal("images", _data(sha256="e" * 64), "expected data sha256 d+ as in the baseline, got e+"),
    Refusal("tier", _run(tier="paper"), "expected tier quick as in the baseline, got paper"),
    Refusal("seed", _run(seed=7), "expected seed 0 as in the baseline, got 7"),
    Refusal("batch", _run(batch=64), "expected batch 16 as in the baseline, got 64"),
    Refusal("settings", _settings(steps=50), r"PGD-40 \(end-to-end\), epsilon 8/255: expected steps 40 .*, got 50"),
    Refusal("setting that is new", _settings(temperature=2), "expected temperature not set as in .*, got 2"),
    Refusal("setting of None that is new", _settings(kappa=None), "expected kappa not set as in .*, got null"),
    Refusal("other target", _attack(targets=(INT8,)), r"expected targets \[.*torch.*\] as in .*, got \[.*int8"),
    Refusal("other epsilon", _attack(epsilon=4 / 255), "epsilon 8/255 of the baseline in this run, which lacks it"),
    Refusal("other scenario", _attack(scenario="bpda"), r"the attack PGD-40 \(end-to-end\).* which lacks it"),
    Refusal("missing attack", _cells(0), r"the attack PGD-40 \(end-to-end\), epsilon 8/255 of the baseline in this"),
    Refusal("missing clean images", _cells(1), "the attack clean of the baseline in this run, which lacks it"),
    Refusal("missing system", _fewer_systems, "the system model.int8.onnx of the baseline in this run"),
    Refusal("missing score", _fewer_scores, r"system on PGD-40 .* model.int8.onnx of the baseline in this run"),
    Refusal("fewer images attacked", _attack(n=100), r"PGD-40 .*: expected n 200 as in the baseline, got 100"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_a_baseline_of_something_else_is_refused_with_the_difference(case: Refusal) -> None:
    held = of_right(150)
    with pytest.raises(ConfigError, match=case.message) as caught:
        compare(held, case.change(held), max_drop=1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [_cells(0), _fewer_scores, _fewer_systems], ids=["attack", "score", "system"])
def test_what_the_baseline_lacks_is_refused_since_nothing_would_hold_it(
    change: Callable[[RobustnessRecord], RobustnessRecord],
) -> None:
    held = of_right(150)
    with pytest.raises(ConfigError, match=r"of this run in the baseline, which lacks .*; make a new baseline"):
        compare(change(held), held, max_drop=1.0)


def test_of_attacks_of_one_name_the_missing_one_is_named() -> None:
    cells = [cell({PAIR: rights(N, 10)}, restarts=restarts) for restarts in (1, 5)]
    both, one = record(*cells, systems=(PAIR,)), record(cells[0], systems=(PAIR,))
    with pytest.raises(ConfigError, match="restarts 5 of the baseline in this run, which lacks it"):
        compare(both, one, max_drop=1.0)
    with pytest.raises(ConfigError, match=r"in the baseline, which lacks .* restarts 5"):
        compare(one, both, max_drop=1.0)


def test_edited_bits_are_refused() -> None:
    held = of_right(150)
    scores = held.cells[1].scores
    edited = scores[0].model_copy(update={"right": packed(rights(N, 10))})
    with pytest.raises(DataError, match="was edited"):
        compare(_attack(scores=(edited, scores[1]))(held), held, max_drop=1.0)
    shorter = cell({PAIR: rights(40, 10), INT8: rights(40, 10)}).scores
    with pytest.raises(DataError, match=r"expected n 200 in the score of purified .*was edited"):
        compare(held, _attack(scores=shorter)(held), max_drop=1.0)


def test_a_cell_twice_or_a_system_that_is_nowhere_named_is_refused() -> None:
    held = of_right(150)
    with pytest.raises(DataError, match="each attack once in the baseline, got PGD-40"):
        compare(_cells(0, 1, 1)(held), _cells(0, 1, 1)(held), max_drop=1.0)
    unnamed = _fewer_systems(held)
    with pytest.raises(DataError, match=r"expected model\.int8\.onnx, which is scored, among"):
        compare(unnamed, unnamed, max_drop=1.0)
