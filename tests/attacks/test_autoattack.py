"""AutoAttack: the standard's four, in its order, each on the survivors of those before."""

from __future__ import annotations

import pytest
import torch
from tiny_models import NUM_CLASSES, convolutional_model, linear_model, mild_images
from torch import Tensor

from capgan_edge.attacks import APGDCE, APGDT, FABT, AutoAttack, Square
from capgan_edge.errors import ConfigError


def test_the_defaults_are_the_standards() -> None:
    epsilon, seed = 4 / 255, 7
    assert AutoAttack(epsilon=epsilon, seed=seed).stages == (
        ("apgd-ce", APGDCE(epsilon=epsilon, seed=seed, steps=100, restarts=1)),
        ("apgd-t", APGDT(epsilon=epsilon, seed=seed, steps=100, num_targets=9)),
        ("fab-t", FABT(epsilon=epsilon, seed=seed, steps=100, num_targets=9)),
        ("square", Square(epsilon=epsilon, seed=seed, queries=5000, p_init=0.8, scales_schedule=False)),
    )


def test_it_fools_at_least_what_its_first_attack_fools_and_leaves_those_images_at_that() -> None:
    model, x_BCHW = convolutional_model(), mild_images(32)
    y_B = model(x_BCHW).argmax(1)
    auto = AutoAttack(epsilon=0.008, steps=20, queries=50)
    whole, first = auto(model, x_BCHW, y_B), auto.stages[0][1](model, x_BCHW, y_B)
    assert 0 < first.is_fooled_B.sum() < whole.is_fooled_B.sum() < 32
    assert torch.equal(whole.images_BCHW[first.is_fooled_B], first.images_BCHW[first.is_fooled_B])
    assert torch.equal(
        whole.queries_B[first.is_fooled_B], first.queries_B[first.is_fooled_B] + 1
    )  # and one query that tells the survivors


def test_a_survivor_goes_through_all_four() -> None:
    model, x_BCHW = linear_model(), mild_images(2)
    attacked = AutoAttack(epsilon=1e-4, steps=10, queries=20)(model, x_BCHW, model(x_BCHW).argmax(1))
    targets = NUM_CLASSES - 1
    assert attacked.gradients_B.tolist() == [10 + targets * 10 + targets * 10] * 2
    clean_and_survivors = 4 + 4
    assert attacked.queries_B.tolist() == [11 + targets * 11 + targets * 20 + 20 + clean_and_survivors] * 2


def test_images_wrong_from_the_start_cost_two_queries_and_stay() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    attacked = AutoAttack()(model, x_BCHW, (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES)
    assert torch.equal(attacked.images_BCHW, x_BCHW)
    assert attacked.queries_B.tolist() == [2, 2, 2]


def test_square_gets_through_where_gradients_are_masked() -> None:
    model, x_BCHW = linear_model(), mild_images(24)

    def masked(a_BCHW: Tensor) -> Tensor:
        """The model on 32 levels: flat, so that no gradient comes back."""
        levels_BCHW = (a_BCHW * 31).round() / 31
        logits_BK: Tensor = model(levels_BCHW.detach() + 0 * a_BCHW)
        return logits_BK

    y_B = masked(x_BCHW).argmax(1)
    by_gradients = APGDCE(epsilon=0.15)(masked, x_BCHW, y_B).is_fooled_B.sum()
    by_all = AutoAttack(epsilon=0.15, steps=5, queries=300)(masked, x_BCHW, y_B).is_fooled_B.sum()
    assert by_all >= by_gradients + 6


@pytest.mark.parametrize("name", ["steps", "num_targets", "queries"])
def test_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected at least one"):
        AutoAttack(**{name: 0})  # type: ignore[arg-type]
