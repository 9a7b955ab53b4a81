"""In what gates ask for less than the shipped ones; what was really judged counts."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import AttackSpec, Gates
from capgan_export.gate.gates_file import load_gates
from capgan_export.gate.strictness import laxer_than_shipped

SHIPPED = load_gates().gates.fitting(has_class_head=False)
FGSM, ALONE, BOTH = SHIPPED.attacks


def set_of(attacks: tuple[AttackSpec, ...], num_clean: int = SHIPPED.num_frames) -> GateSet:
    def kind(attack: AttackSpec | None, n: int) -> JudgedFrames:
        return JudgedFrames(attack=attack, frames_NHWC=np.zeros((n, 1, 1, 3), np.uint8), labels_N=np.zeros(n, np.int64),
                            twin_logits_NK=np.zeros((n, 2), np.float32))  # fmt: skip

    kinds = (kind(None, num_clean), *(kind(attack, attack.num_frames) for attack in attacks))
    return GateSet(data="", seed=0, labels=("a", "b"), purifier_sha256="", victim_sha256="", twin="", kinds=kinds)


class Case(NamedTuple):
    name: str
    attacks: tuple[AttackSpec, ...]
    reasons: tuple[str, ...]
    num_clean: int = SHIPPED.num_frames


CASES = [
    Case("the shipped ones", SHIPPED.attacks, ()),
    Case("one more", (*SHIPPED.attacks, AttackSpec(method="pgd", on="f", steps=3)), ()),
    Case("more steps and frames", (FGSM, replace(ALONE, steps=80), replace(BOTH, num_frames=300)), ()),
    Case("none", (), ("no FGSM on f", "no PGD-40 on f", "no PGD-40 on f(T(.))")),
    Case("fewer steps", (FGSM, replace(ALONE, steps=39), BOTH), ("no PGD-40 on f",)),
    Case("a smaller epsilon", (replace(FGSM, epsilon=4 / 255), ALONE, BOTH), ("no FGSM on f",)),
    Case("one so large that nothing is left to lose", (replace(FGSM, epsilon=1.0), ALONE, BOTH), ("no FGSM on f",)),
    Case("another gradient", (FGSM, ALONE, replace(BOTH, steps=41, on="f")), ("no PGD-40 on f(T(.))",)),
    Case("fewer frames", (FGSM, ALONE, replace(BOTH, num_frames=32)), ("32 of 256 frames PGD-40 on f(T(.))",)),
    Case("fewer clean ones", SHIPPED.attacks, ("999 of 1000 frames clean",), 999),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_attacks_that_were_made_count_and_on_how_many_frames(case: Case) -> None:
    held = set_of(case.attacks, case.num_clean)
    assert laxer_than_shipped(SHIPPED, held, "int8", has_class_head=False) == case.reasons


class Limit(NamedTuple):
    name: str
    laxer: float
    stricter: float


LIMITS = [
    Limit("max_abs_logits", 2.0, 0.5),
    Limit("cosine", 0.5, 0.999),
    Limit("top1_agreement", 0.9, 0.99),
    Limit("clean_drop_points", 3.0, 0.5),
    Limit("attacked_drop_points", 3.0, 0.5),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit_counts_for_the_precision_that_is_judged(limit: Limit) -> None:
    def gates(value: float) -> Gates:
        own = replace(SHIPPED.limits["int8"], **{limit.name: value})
        return replace(SHIPPED, limits={**SHIPPED.limits, "int8": own})

    held = set_of(SHIPPED.attacks)
    (reason,) = laxer_than_shipped(gates(limit.laxer), held, "int8", has_class_head=False)
    assert reason.startswith(f"{limit.name} {limit.laxer:g} for ")
    assert laxer_than_shipped(gates(limit.stricter), held, "int8", has_class_head=False) == ()
    assert laxer_than_shipped(gates(limit.laxer), held, "fp16", has_class_head=False) == ()
