"""At which value a check would have failed: each is tried, and the next milder one too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from capgan_edge.runtime.card import CardCheck
from capgan_export.gate.artifacts import Said
from capgan_export.gate.checks import checks_of
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import AttackSpec, Limits
from capgan_export.gate.power import NOTHING_TO_LOSE, TOO_LITTLE_TO_LOSE, failing_values

N = 256
LIMITS = Limits(max_abs_logits=1, cosine=-1, top1_agreement=0.98, clean_drop_points=1, attacked_drop_points=1)
LOSS = "loss of accuracy, PGD-40 on f"
AGREEMENT = "top-1 agreement, clean"


def two_classes(is_right_N: np.ndarray) -> np.ndarray:
    """The true label is 0."""
    logits_NK: np.ndarray = np.eye(2, dtype=np.float32)[np.where(is_right_N, 0, 1)]
    return logits_NK


def trial(num_right: int, lost: int, won: int, changed: int = 0) -> tuple[GateSet, list[Said]]:
    """A twin that is right on so many of 256 attacked frames, and a graph that loses and wins so many of them."""
    order_N = np.arange(N)
    twin_N = order_N < num_right
    own_N = (twin_N & (order_N >= lost)) | ((order_N >= num_right) & (order_N < num_right + won))

    def kind(attack: AttackSpec | None, is_right_N: np.ndarray) -> JudgedFrames:
        return JudgedFrames(attack=attack, frames_NHWC=np.zeros((N, 1, 1, 3), np.uint8), labels_N=np.zeros(N, np.int64),
                            twin_logits_NK=two_classes(is_right_N))  # fmt: skip

    kinds = (kind(None, order_N >= 0), kind(AttackSpec(method="pgd", on="f", steps=40), twin_N))
    held = GateSet(data="", seed=0, labels=("a", "b"), purifier_sha256="", victim_sha256="", twin="", kinds=kinds)
    said = [
        Said(logits_NK=two_classes(own), suspicion_N=np.zeros(N, np.float32)) for own in (order_N >= changed, own_N)
    ]
    return held, said


def check_of(held: GateSet, said: list[Said], name: str) -> CardCheck:
    return next(check for check in checks_of(held, said, LIMITS) if check.name == name)


class Case(NamedTuple):
    num_right: int
    won: int


@pytest.mark.parametrize("case", [Case(200, 0), Case(200, 3), Case(256, 0), Case(20, 0), Case(90, 30)], ids=str)
def test_the_smallest_loss_that_is_told_fails_and_one_frame_less_passes(case: Case) -> None:
    value = failing_values(*trial(case.num_right, 0, case.won), LIMITS)[LOSS]
    assert isinstance(value, float)
    lost = round(value * N / 100) + case.won
    worse = check_of(*trial(case.num_right, lost, case.won), LOSS)
    assert (worse.value, worse.passed) == (value, False)
    assert check_of(*trial(case.num_right, lost - 1, case.won), LOSS).passed
    assert value > LIMITS.attacked_drop_points, "256 frames find no loss as small as the limit"


def test_it_is_the_same_whatever_the_graph_lost_itself() -> None:
    values = [failing_values(*trial(200, lost, 2), LIMITS)[LOSS] for lost in (0, 3, 40)]
    assert values[0] == values[1] == values[2]


def test_a_twin_that_is_never_right_has_nothing_to_lose_and_one_that_hardly_is_too_little() -> None:
    assert failing_values(*trial(0, 0, 5), LIMITS)[LOSS] == NOTHING_TO_LOSE
    assert failing_values(*trial(2, 2, 0), LIMITS)[LOSS] == TOO_LITTLE_TO_LOSE
    assert check_of(*trial(2, 2, 0), LOSS).passed, "all that there was is lost, and it passes"


def test_so_it_is_with_the_share_of_equal_labels() -> None:
    value = failing_values(*trial(200, 0, 0), LIMITS)[AGREEMENT]
    assert isinstance(value, float)
    assert value < 100 * LIMITS.top1_agreement
    changed = round(N * (1 - value / 100))
    assert not check_of(*trial(200, 0, 0, changed), AGREEMENT).passed
    assert check_of(*trial(200, 0, 0, changed - 1), AGREEMENT).passed
