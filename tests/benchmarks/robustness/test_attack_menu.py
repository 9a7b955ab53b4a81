"""Attacks by name: the settings of the method's table, other lengths, and what a tier shortens."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from capgan_benchmarks.robustness import attack_menu
from capgan_edge.attacks import APGDCE, APGDT, CWL2, FABT, FGSM, MIFGSM, PGD, SPSA, Attack, AutoAttack, Square
from capgan_edge.errors import ConfigError

EPSILON, SEED = 8 / 255, 3


class Named(NamedTuple):
    name: str
    attack: Attack
    quick: Attack


PGD_40 = PGD(epsilon=EPSILON, seed=SEED, steps=40)
CASES = [
    Named("fgsm", FGSM(epsilon=EPSILON, seed=SEED), FGSM(epsilon=EPSILON, seed=SEED)),
    Named("pgd-7", *[PGD(epsilon=EPSILON, seed=SEED, steps=7)] * 2),
    Named("pgd-40", PGD_40, PGD_40),
    Named("mi-fgsm", *[MIFGSM(epsilon=EPSILON, seed=SEED, steps=20)] * 2),
    Named("cw", *[CWL2(seed=SEED, steps=steps, kappa=20) for steps in (1000, 100)]),
    Named("cw-search", *[CWL2(seed=SEED, steps=steps, kappa=20, c=1e-3, search_steps=9) for steps in (1000, 100)]),
    Named("spsa", *[SPSA(epsilon=EPSILON, seed=SEED, steps=steps) for steps in (100, 2)]),
    Named("spsa-1", *[SPSA(epsilon=EPSILON, seed=SEED, steps=1)] * 2),
    Named("square", *[Square(epsilon=EPSILON, seed=SEED, queries=queries) for queries in (5000, 200)]),
    Named("square-1000", *[Square(epsilon=EPSILON, seed=SEED, queries=1000)] * 2),
    Named("square-r5", *[Square(epsilon=EPSILON, seed=SEED, queries=queries, restarts=5) for queries in (5000, 200)]),
    Named("square-r5-1000", *[Square(epsilon=EPSILON, seed=SEED, queries=1000, restarts=5)] * 2),
    Named("apgd-ce", *[APGDCE(epsilon=EPSILON, seed=SEED, steps=steps) for steps in (100, 20)]),
    Named("apgd-t", *[APGDT(epsilon=EPSILON, seed=SEED, steps=steps) for steps in (100, 20)]),
    Named("fab-t", *[FABT(epsilon=EPSILON, seed=SEED, steps=steps) for steps in (100, 20)]),
    Named("autoattack", AutoAttack(epsilon=EPSILON, seed=SEED),
          AutoAttack(epsilon=EPSILON, seed=SEED, steps=20, queries=1000)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_name_has_the_papers_settings_and_quick_shortens_what_is_slow(case: Named) -> None:
    for tier, wanted in (("paper", case.attack), ("standard", case.attack), ("quick", case.quick)):
        assert attack_menu.attack_from_name(case.name, epsilon=EPSILON, seed=SEED, tier=tier) == wanted


def test_what_is_meant_for_another_model_goes_on_past_the_boundary_where_it_can() -> None:
    usual = attack_menu.attack_from_name("apgd-ce", epsilon=EPSILON, seed=SEED, tier="paper")
    moved = attack_menu.attack_from_name("apgd-ce", epsilon=EPSILON, seed=SEED, tier="paper", is_transferred=True)
    assert usual == APGDCE(epsilon=EPSILON, seed=SEED)
    assert moved == APGDCE(epsilon=EPSILON, seed=SEED, stops_early=False)
    stopping = [name for name in attack_menu.NAMES if attack_menu.stops_at_boundary(name, is_transferred=True)]
    assert stopping == ["spsa", "square", "square-r5", "apgd-t", "fab-t", "autoattack"]
    assert attack_menu.stops_at_boundary("apgd-ce", is_transferred=False)


def test_every_name_of_the_menu_is_an_attack_here() -> None:
    assert set(attack_menu.NAMES) <= {case.name for case in CASES}


@pytest.mark.parametrize("name", ["pgd-0", "fgsm-2", "deepfool", "", "pgd-", "pgd-1000000", "PGD-7"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(ConfigError, match=f"fgsm, .*autoattack.*got '{name}'"):
        attack_menu.attack_from_name(name, epsilon=EPSILON, seed=0, tier="quick")


def test_slow_attacks_are_run_on_fewer_images() -> None:
    names = ("fgsm", "pgd-40", "cw", "square", "autoattack", "spsa")
    assert [attack_menu.most_images(name, 10_000) for name in names] == [10_000, 10_000, 1000, 1000, 1000, 256]
    assert attack_menu.most_images("spsa", 32) == 32


def test_only_square_and_spsa_live_of_outputs_and_only_cw_has_no_epsilon() -> None:
    assert {name for name in attack_menu.NAMES if not attack_menu.needs_gradients(name)} == {
        "spsa", "square", "square-r5"}  # fmt: skip
    assert {name for name in attack_menu.NAMES if not attack_menu.has_epsilon(name)} == {"cw", "cw-search"}
