"""On a linear model the smallest perturbation is known: attacks fool exactly the images that epsilon reaches."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_models import linear_model, mild_images, nearest_boundary

from capgan_edge.attacks import APGDCE, APGDT, CWL2, FABT, MIFGSM, PGD, AutoAttack, LinfAttack

MARGIN = 1.02
"""How much farther than the boundary an attack may need to go."""


def split_epsilons(distance_B: torch.Tensor) -> list[float]:
    """Return epsilons between neighbouring distances, where the gap is wider than the margin on both sides."""
    pairs = itertools.pairwise(distance_B.sort().values.tolist())
    return [(low * high) ** 0.5 for low, high in pairs if high / low > MARGIN**2]


@pytest.mark.parametrize("attack", [PGD, MIFGSM, APGDCE, FABT], ids=lambda a: a.__name__)
def test_of_two_classes_exactly_the_images_within_reach_are_fooled(attack: type[LinfAttack]) -> None:
    model, x_BCHW = linear_model(2), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    distance_B = nearest_boundary(model, x_BCHW, y_B, dual_norm=1)
    epsilons = split_epsilons(distance_B)
    assert len(epsilons) >= 5
    for epsilon in epsilons:
        attacked = attack(epsilon=epsilon)(model, x_BCHW, y_B)
        assert attacked.is_fooled_B.tolist() == (distance_B < epsilon).tolist()


@pytest.mark.parametrize("attack", [APGDT, FABT, AutoAttack], ids=lambda a: a.__name__)
def test_of_five_classes_a_targeted_attack_finds_the_nearest(attack: type[LinfAttack]) -> None:
    model, x_BCHW = linear_model(5), mild_images(8)
    y_B = model(x_BCHW).argmax(1)
    distance_B = nearest_boundary(model, x_BCHW, y_B, dual_norm=1)
    for epsilon in split_epsilons(distance_B)[1:4:2]:
        made = attack(epsilon=epsilon, queries=10) if attack is AutoAttack else attack(epsilon=epsilon)
        assert made(model, x_BCHW, y_B).is_fooled_B.tolist() == (distance_B < epsilon).tolist()


@pytest.mark.parametrize("num_classes", [2, 5])
def test_fab_finds_the_smallest_perturbation(num_classes: int) -> None:
    model, x_BCHW = linear_model(num_classes), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    attacked = FABT(epsilon=1, steps=50, stops_early=False)(model, x_BCHW, y_B)
    assert attacked.is_fooled_B.all()
    found_B = (attacked.images_BCHW - x_BCHW).flatten(1).abs().amax(1)
    ratio_B = found_B / nearest_boundary(model, x_BCHW, y_B, dual_norm=1)
    assert ratio_B.min() >= 1
    assert ratio_B.max() <= 1.01


@pytest.mark.parametrize("num_classes", [2, 5])
def test_cw_finds_the_nearest_image(num_classes: int) -> None:
    model, x_BCHW = linear_model(num_classes), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    nearest_B = nearest_boundary(model, x_BCHW, y_B, dual_norm=2)
    far = nearest_B > 0.05  # nearer ones lie within one of Adam's first steps
    assert far.sum() >= 10
    attacked = CWL2(c=1e-2, search_steps=7, steps=300)(model, x_BCHW[far], y_B[far])
    assert attacked.is_fooled_B.all()
    ratio_B = attacked.l2_B / nearest_B[far]
    assert ratio_B.min() >= 1 - 1e-4
    assert ratio_B.max() <= 1.02
    assert attacked.mean_l2 == pytest.approx(float(nearest_B[far].mean()), rel=0.02)
