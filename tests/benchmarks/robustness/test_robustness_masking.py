"""Self-checks both ways: what is sound passes each, and what is masked or broken fails the one that must catch it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from capgan_benchmarks.robustness.cell_checks import effort_check, query_check, transfer_check, zero_gradient_check
from capgan_benchmarks.robustness.masking import self_checks, zero_gradient_percent
from capgan_benchmarks.robustness.probes import planted_check, unbounded_check
from capgan_benchmarks.robustness.record import Cell, Rounding, Score, Spread, packed
from capgan_benchmarks.threats.crafted import CraftedSet
from capgan_benchmarks.threats.crafting import attack_title, craft_all, rows_of
from capgan_benchmarks.threats.defended import Defended, defended_from_source, unchanged
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.query import Query
from capgan_benchmarks.threats.scenario import Scenario, Threat
from capgan_edge.attacks import PGD, Attack, Square
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.errors import ConfigError
from capgan_export.source import find_source

PAIR = "purified (torch)"
N = 100
EIGHT, SIXTEEN = 8 / 255, 16 / 255


def cell_of(
    scenario: str, attack: str, right_N: np.ndarray, *, epsilon: float | None = EIGHT, system: str = PAIR,
    zero: float | None = None, settings: dict[str, Any] | None = None,
) -> Cell:  # fmt: skip
    n, num_right = len(right_N), int(right_N.sum())
    percent = 100 * num_right / n
    score = Score(system=system, n=n, num_right=num_right, percent=percent, interval_95=(percent, percent),
                  right=packed(right_N))  # fmt: skip
    return Cell(
        scenario=scenario, attack=attack, epsilon=epsilon, settings=settings or {"attack": attack, "seed": 0}, n=n,
        seconds=1.0, queries=Spread(total=n, median=1.0, max=1), gradients=Spread(total=n, median=1.0, max=1),
        num_lost_queries=0, mean_l2=None, zero_gradient_percent=zero,
        rounding=Rounding(judge="f(T(.))", n=n, num_right_float=num_right, num_right_rounded=num_right),
        targets=[system], scores=[score], detections=[],
    )  # fmt: skip


def cell(scenario: str, attack: str, num_right: int, *, n: int = N, **options: Any) -> Cell:
    """Return a cell whose first `num_right` images survive."""
    return cell_of(scenario, attack, np.arange(n) < num_right, **options)


class Case(NamedTuple):
    name: str
    cells: Sequence[Cell]
    state: str
    came: str


QUERY_CASES = [
    Case("gradients win", [cell("end-to-end", "PGD-40", 20), cell("query", "Square-1000", 40)], "passed", "0 of 1"),
    Case("within the interval", [cell("end-to-end", "PGD-40", 20), cell("query", "Square-1000", 19)], "passed",
         r"difference \+1.0"),
    Case("a query wins", [cell("end-to-end", "PGD-40", 60), cell("query", "Square-1000", 30)], "failed",
         r"Square-1000 \(query\) at 8/255 leaves 30.0 % right, PGD-40 \(end-to-end\) at 8/255 60.0 %"),
    Case("only over the weakest", [cell("end-to-end", "FGSM", 60), cell("end-to-end", "PGD-40", 10),
                                   cell("query", "Square-1000", 30)], "passed", "PGD-40"),
    Case("an artifact too", [cell("artifact-transfer", "PGD-40", 70, system="int8"),
                             cell("artifact-query", "Square-1000", 30, system="int8")], "failed", "int8"),
    Case("another system", [cell("end-to-end", "PGD-40", 60), cell("artifact-query", "Square-1000", 3, system="int8")],
         "not run", "same system"),
    Case("another epsilon", [cell("end-to-end", "PGD-40", 60), cell("query", "Square-1000", 3, epsilon=SIXTEEN)],
         "not run", "same epsilon"),
    Case("the shared images alone", [cell("end-to-end", "PGD-40", 50), cell("query", "Square-1000", 50, n=50)],
         "passed", "n=50"),
    Case("a few images alone", [cell("end-to-end", "PGD-40", 50), cell("query", "Square-1000", 10, n=10)],
         "not run", "n too small to tell.*n=10"),
    Case("nothing", [], "not run", "takes a query attack"),
]  # fmt: skip
TRANSFER_CASES = [
    Case("white box wins", [cell("end-to-end", "PGD-40", 5), cell("transfer", "PGD-40", 80)], "passed", "transfer"),
    Case("transfer wins", [cell("end-to-end", "PGD-40", 80), cell("transfer", "PGD-40", 40)], "failed", "transfer"),
    Case("past the defence wins", [cell("end-to-end", "PGD-40", 80), cell("bpda", "PGD-40", 40)], "failed", "bpda"),
    Case("FP32 twin against fake-quant", [cell("artifact-fake-quant", "PGD-40", 80, system="int8"),
                                          cell("artifact-transfer", "PGD-40", 40, system="int8")], "failed", "int8"),
    Case("no bound", [cell("end-to-end", "CWL2-100", 80, epsilon=None), cell("transfer", "CWL2-100", 4, epsilon=None)],
         "not run", "transferred"),
    Case("no white box", [cell("transfer", "PGD-40", 40), cell("query", "Square-9", 9)], "not run", "white-box"),
]  # fmt: skip
EFFORT_CASES = [
    Case("more is more", [cell("end-to-end", "PGD-7", 30), cell("end-to-end", "PGD-40", 10),
                          cell("end-to-end", "PGD-40", 0, epsilon=SIXTEEN)], "passed", "0 of 2"),
    Case("more steps fool fewer", [cell("end-to-end", "PGD-40", 60), cell("end-to-end", "PGD-7", 30)], "failed",
         "PGD-7 .* leaves 30.0 % right, PGD-40 .* 60.0 %"),
    Case("a larger epsilon fools fewer", [cell("end-to-end", "PGD-40", 60, epsilon=SIXTEEN),
                                          cell("end-to-end", "PGD-40", 30)], "failed", "16/255 60.0 %"),
    Case("by luck", [cell("end-to-end", "PGD-40", 11), cell("end-to-end", "PGD-7", 10)], "passed", r"\+1.0"),
    Case("more queries fool fewer", [cell("query", "Square-9000", 60), cell("query", "Square-100", 30)], "failed",
         "Square-100 "),
    Case("a surrogate climbed too far is no fault", [cell("transfer", "PGD-40", 60), cell("transfer", "PGD-7", 30)],
         "not run", "climbs itself"),
    Case("one step may overshoot", [cell("end-to-end", "FGSM", 60, epsilon=SIXTEEN), cell("end-to-end", "FGSM", 30)],
         "not run", "two lengths"),
    Case("other restarts are another attack", [
        cell("query", "Square-9", 60, epsilon=SIXTEEN, settings={"restarts": 1, "epsilon": SIXTEEN}),
        cell("query", "Square-9", 30, settings={"restarts": 5, "epsilon": EIGHT})], "not run", "two lengths"),
]  # fmt: skip
ZERO_CASES = [
    Case("none", [cell("end-to-end", "PGD-7", 3, zero=0.0), cell("query", "Square-9", 9)], "passed", "at most 0.0 %"),
    Case("many", [cell("end-to-end", "PGD-7", 3, zero=0.0), cell("end-to-end", "FGSM", 9, zero=37.0)], "failed",
         r"37.0 %, FGSM \(end-to-end\)"),
    Case("no gradients", [cell("query", "Square-9", 9)], "not run", "no cell"),
]  # fmt: skip
TABLE = {
    f"{kind.__name__}: {case.name}": (kind, case)
    for kind, cases in ((query_check, QUERY_CASES), (transfer_check, TRANSFER_CASES), (effort_check, EFFORT_CASES),
                        (zero_gradient_check, ZERO_CASES))
    for case in cases
}  # fmt: skip


@pytest.mark.parametrize(("kind", "case"), TABLE.values(), ids=TABLE)
def test_cells_pass_or_fail_the_check_that_is_about_them(kind: Any, case: Case) -> None:
    check = kind(case.cells)
    assert check.state == case.state, check.came
    assert re.search(case.came, check.came), check.came


@pytest.fixture(scope="module")
def sound() -> Defended:
    return defended_from_source(find_source("signs-nano"))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return rows_of(load_signs("test", size_px=32, n=20), slice(4))


def saturated(held: Defended) -> Defended:
    """Return the pair with logits so far apart that the softmax in float32 is exactly one class."""
    return replace(held, classify=lambda x_BCHW: 1e4 * held.classify(x_BCHW))


def quantised(held: Defended) -> Defended:
    """Return the pair behind pixels of 16 levels, whose gradient is zero."""
    return replace(held, purify=lambda x_BCHW: held.purify((15 * x_BCHW).round() / 15))


def test_masked_gradients_are_zero_and_sound_ones_are_not(sound: Defended, images: ImageSet) -> None:
    assert zero_gradient_percent(sound, images) == 0
    assert zero_gradient_percent(saturated(sound), images) == 100
    assert zero_gradient_percent(quantised(sound), images) == 100

    def half(x_BCHW: Tensor) -> Tensor:
        scale_B1 = torch.where(torch.arange(len(x_BCHW)) < 2, 1e4, 1.0)[:, None]
        return scale_B1 * sound(x_BCHW)

    assert zero_gradient_percent(half, images) == 50
    with pytest.raises(ConfigError, match="gradients"):
        zero_gradient_percent(lambda x_BCHW: sound(x_BCHW).detach(), images)


def attacked(name: str, scenario: Scenario, attack: Attack, held: Defended, images: ImageSet) -> Cell:
    """Return the cell of an attack, scored on the pair `held`."""
    frames_NHWC = craft_all(scenario, attack, images).frames_NHWC
    right_N = EndToEnd(defended=held).labels_of(frames_NHWC) == images.labels_N
    zero = None if name == "query" else zero_gradient_percent(scenario.defended, images)  # type: ignore[attr-defined]
    return cell_of(name, attack_title(attack), right_N, zero=zero)


def test_where_the_softmax_saturates_outputs_and_surrogates_tell_more_than_gradients(sound: Defended) -> None:
    images = load_signs("test", size_px=32, n=40)
    bare, states = replace(sound, purify=unchanged), {}
    for name, held in (("sound", bare), ("masked", saturated(bare))):
        cells = [
            attacked("end-to-end", EndToEnd(defended=held), PGD(epsilon=0.25, steps=4), held, images),
            attacked("query", Query(defended=held), Square(epsilon=0.25, queries=40), held, images),
            attacked("transfer", EndToEnd(defended=bare), PGD(epsilon=0.25, steps=4), held, images),
        ]
        checks = (query_check(cells), transfer_check(cells), zero_gradient_check(cells))
        states[name] = [check.state for check in checks]
    assert states == {"sound": ["passed"] * 3, "masked": ["failed"] * 3}, [check.came for check in checks]


def test_an_unbounded_attack_leaves_nobody_right_unless_gradients_are_masked(sound: Defended, images: ImageSet) -> None:
    bare = replace(sound, purify=unchanged)
    assert [unbounded_check(held, images, seed=0).state for held in (sound, bare)] == ["passed", "passed"]
    for masked in (saturated(sound), quantised(sound)):
        check = unbounded_check(masked, images, seed=0)
        assert check.state == "failed"
        assert "images still right" in check.came


def test_a_planted_example_is_found_through_a_sound_defence_and_not_through_a_masked_one(
    sound: Defended, images: ImageSet
) -> None:
    for held in (sound, replace(sound, purify=unchanged)):
        assert planted_check(held, images, seed=1).came == "0 of 4 not found"
    masked = planted_check(quantised(sound), images, seed=1)
    assert (masked.state, masked.came) == ("failed", "4 of 4 not found")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgetful:
    """A scenario with a fault: it scores the originals instead of what it crafted."""

    threat: ClassVar[Threat] = EndToEnd.threat
    inner: EndToEnd

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return replace(self.inner.craft(attack, images, number=number), frames_NHWC=images.images_NHWC)

    def labels_of(self, frames_NHWC: np.ndarray) -> np.ndarray:
        return self.inner.labels_of(frames_NHWC)


def test_a_planted_example_is_missed_by_a_broken_pipeline_or_an_attack_that_hardly_moves(
    sound: Defended, images: ImageSet
) -> None:
    broken = planted_check(sound, images, seed=1, make=lambda held: Forgetful(inner=EndToEnd(defended=held)))
    assert (broken.state, broken.came) == ("failed", "4 of 4 not found")
    feeble = planted_check(sound, images, seed=1, attack=PGD(epsilon=1 / 255, steps=1))
    assert feeble.state == "failed"


def test_a_defence_that_undoes_every_planted_point_leaves_nothing_to_find(sound: Defended, images: ImageSet) -> None:
    constant = replace(sound, purify=lambda x_BCHW: 0 * x_BCHW + (x_BCHW > 2))
    assert planted_check(constant, rows_of(images, slice(1)), seed=0).state == "not run"


def test_all_checks_come_in_one_list_and_those_without_a_pair_say_so(sound: Defended, images: ImageSet) -> None:
    cells = [cell("end-to-end", "PGD-40", 5, zero=0.0), cell("end-to-end", "PGD-7", 9), cell("query", "Square-9", 50),
             cell("transfer", "PGD-40", 80)]  # fmt: skip
    cells.append(cell("end-to-end", "CWL2-1000", 1, epsilon=None))
    checks = self_checks(cells, defended=sound, images=images, seed=0)
    assert [check.state for check in checks] == ["passed"] * 7
    assert len({check.name for check in checks}) == 7
    without = self_checks(cells, defended=None, images=images, seed=0)
    assert [check.name for check in without] == [check.name for check in checks]
    assert [check.state for check in without] == ["passed"] * 5 + ["not run"] * 2
    assert "no pair in torch" in without[-1].came
    closed = replace(sound, classify=lambda x_BCHW: sound.classify(x_BCHW).detach())
    closed_off = unbounded_check(closed, images, seed=0)
    assert closed_off.state == "not run"
    assert "logits do not depend on the images" in closed_off.came


def test_a_replayed_set_was_made_for_another_model_and_is_compared_with_nothing(images: ImageSet) -> None:
    cells = [cell("replayed", "PGD-40, end-to-end on other, set 12345678", 90),
             cell("query", "Square-9", 50), cell("transfer", "PGD-40", 20)]  # fmt: skip
    checks = self_checks(cells, defended=None, images=images, seed=0)
    assert {check.state for check in checks} == {"not run"}
