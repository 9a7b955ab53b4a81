"""The worst case over attacks: a perturbation of zero is one of them."""

from __future__ import annotations

import numpy as np
from paired_records import EPSILON, INT8, PAIR, cell, clean

from capgan_benchmarks.robustness.worst import worst_of


def bits(said: str) -> np.ndarray:
    """Return which images are right, from ones and zeros."""
    return np.array([each == "1" for each in said])


def test_an_image_that_is_wrong_clean_and_right_after_the_attack_is_not_robust() -> None:
    """The attack puts the last image right by accident; whoever leaves it alone has won."""
    cells = [clean({PAIR: bits("1110")}), cell({PAIR: bits("1011")})]
    (worst,) = worst_of(cells)
    assert (worst.num_right, worst.n, worst.percent) == (2, 4, 50.0)
    assert (worst.scenarios, worst.attacks) == (("end-to-end",), ("PGD-40",))


def test_an_image_counts_only_if_it_is_right_clean_and_under_every_attack_of_its_epsilon() -> None:
    cells = [
        clean({PAIR: bits("11110"), INT8: bits("01111")}),
        cell({PAIR: bits("01111"), INT8: bits("11111")}, attack="FGSM"),
        cell({PAIR: bits("10111"), INT8: bits("11101")}, scenario="query", attack="Square"),
        cell({PAIR: bits("00000"), INT8: bits("00000")}, epsilon=16 / 255),
        cell({PAIR: bits("00000"), INT8: bits("00000")}, attack="CW", epsilon=None),
    ]
    found = {(each.system, each.scenarios): each.num_right for each in worst_of(cells) if each.epsilon == EPSILON}
    assert found == {(PAIR, ("end-to-end",)): 3, (PAIR, ("query",)): 3, (PAIR, ("end-to-end", "query")): 2,
                     (INT8, ("end-to-end", "query")): 3}  # fmt: skip


def test_an_attack_of_a_smaller_epsilon_is_within_a_larger_one() -> None:
    cells = [
        clean({PAIR: bits("1111")}),
        cell({PAIR: bits("0011")}, epsilon=4 / 255),
        cell({PAIR: bits("1101")}),
        cell({PAIR: bits("1100")}, epsilon=12 / 255),
    ]
    assert {round(255 * each.epsilon): each.num_right for each in worst_of(cells)} == {4: 2, 8: 1, 12: 0}


def test_the_images_are_those_that_every_attack_was_run_on() -> None:
    cells = [clean({PAIR: bits("0111")}), cell({PAIR: bits("1111")}), cell({PAIR: bits("11")}, attack="Square")]
    (worst,) = worst_of(cells)
    assert (worst.num_right, worst.n) == (1, 2)


def test_a_file_that_one_threat_model_was_not_about_has_its_worst_case_too() -> None:
    """What ships is scored on every frame: it has a figure even where the pair alone was the target."""
    cells = [
        clean({PAIR: bits("1111"), INT8: bits("1111")}),
        cell({PAIR: bits("0111"), INT8: bits("1011")}, attack="FGSM"),
        cell({PAIR: bits("0011"), INT8: bits("1110")}, epsilon=4 / 255),
    ]
    found = [(each.system, each.num_right) for each in worst_of(cells) if each.epsilon == EPSILON]
    assert found == [(PAIR, 2), (INT8, 2)], "each once"
