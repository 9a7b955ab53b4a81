"""SPSA: what it asks, that its guess is a slope, and that it gets there by outputs alone."""

from __future__ import annotations

import pytest
import torch
from tiny_models import linear_model, mild_images, nearest_boundary
from torch import Tensor

from capgan_edge.attacks import SPSA
from capgan_edge.attacks.counted import CountedModel
from capgan_edge.errors import ConfigError


@pytest.mark.parametrize(("steps", "batch"), [(1, 2), (3, 16), (2, 600)])
def test_an_image_that_holds_costs_a_batch_and_one_query_a_step_and_one_more(steps: int, batch: int) -> None:
    model, x_BCHW = linear_model(), mild_images(2)
    attacked = SPSA(epsilon=1e-4, steps=steps, batch=batch)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert attacked.queries_B.tolist() == [1 + steps * (batch + 1)] * 2
    assert attacked.num_gradients == 0


def test_the_guess_comes_near_the_margins_slope() -> None:
    model, x_BCHW = linear_model(2), mild_images(1)
    counted = CountedModel(model, torch.tensor([0]))
    guess = SPSA(batch=8192)._slope(counted, x_BCHW[0], torch.tensor(0), torch.Generator().manual_seed(0))
    weight_KP = model[1].weight
    slope = (weight_KP[1] - weight_KP[0]).view_as(guess)
    assert float(torch.nn.functional.cosine_similarity(guess.flatten(), slope.flatten(), dim=0)) > 0.98
    assert float(guess.norm() / slope.norm()) == pytest.approx(1, abs=0.05)


def test_it_fools_the_images_that_epsilon_reaches_with_room() -> None:
    model, x_BCHW = linear_model(2), mild_images(16)
    y_B = model(x_BCHW).argmax(1)
    distance_B = nearest_boundary(model, x_BCHW, y_B, dual_norm=1)
    epsilon = float(distance_B.median()) * 1.05
    is_fooled_B = SPSA(epsilon=epsilon, steps=20, batch=256)(model, x_BCHW, y_B).is_fooled_B
    assert is_fooled_B[distance_B < 0.8 * epsilon].all()
    assert not is_fooled_B[distance_B > epsilon].any()
    assert 0 < is_fooled_B.sum() < 16


def test_an_image_is_left_as_soon_as_it_fools() -> None:
    model, x_BCHW = linear_model(), mild_images(16)
    attack = SPSA(epsilon=0.06, steps=6, batch=32)
    attacked = attack(model, x_BCHW, model(x_BCHW).argmax(1))
    assert 0 < int(attacked.is_fooled_B.sum()) < 16
    assert (attacked.queries_B[attacked.is_fooled_B] < attacked.num_queries).any()
    assert (attacked.queries_B[~attacked.is_fooled_B] == 1 + 6 * 33).all()


def test_the_first_step_is_the_learning_rate() -> None:
    def brightness(x_BCHW: Tensor) -> Tensor:
        bright_B = x_BCHW.flatten(1).sum(1)
        return torch.stack([torch.full_like(bright_B, 1e3), bright_B], dim=1)

    x_BCHW = mild_images(1)
    attacked = SPSA(epsilon=0.2, steps=1, batch=4096, learning_rate=0.05)(brightness, x_BCHW, torch.tensor([0]))
    torch.testing.assert_close(attacked.images_BCHW - x_BCHW, torch.full_like(x_BCHW, 0.05), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "at least one step, got 0"),
        ({"batch": 3}, "expected an even batch of queries, two or more, got 3"),
        ({"batch": 0}, "expected an even batch of queries, two or more, got 0"),
        ({"delta": 0.0}, r"expected delta in \(0, 1\], got 0.0"),
        ({"learning_rate": 0.0}, "expected a learning_rate above 0, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SPSA(**options)  # type: ignore[arg-type]
