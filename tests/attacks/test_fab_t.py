"""FAB-T: its step, what it spends, and that an image within epsilon is enough."""

from __future__ import annotations

import pytest
import torch
from tiny_models import NUM_CLASSES, convolutional_model, linear_model, mild_images
from torch import nn

from capgan_edge.attacks import FABT
from capgan_edge.attacks.counted import CountedModel
from capgan_edge.errors import ConfigError


def test_a_step_overshoots_the_boundary_and_leans_towards_the_original() -> None:
    model, o_BCHW = linear_model(2), mild_images(5)
    a_BCHW = (o_BCHW + 0.02 * mild_images(5, seed=1)).clamp(0.3, 0.7)
    y_B, target_B = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    slope_P = layer.weight[1] - layer.weight[0]

    def to_boundary(x_BCHW: torch.Tensor) -> torch.Tensor:
        """Every pixel by the gap over the L1 norm, away from the ends of the range."""
        gap_B = (model(x_BCHW) @ torch.tensor([1.0, -1.0])) / slope_P.abs().sum()
        return gap_B[:, None, None, None] * slope_P.sign().view(1, 3, 4, 6)

    step, o_step = to_boundary(a_BCHW), to_boundary(o_BCHW)
    size, o_size = (part.abs().amax((1, 2, 3), keepdim=True) for part in (step, o_step))
    lean = (size / (size + o_size)).clamp(max=0.1)
    expected = (1 - lean) * (a_BCHW + 1.05 * step) + lean * (o_BCHW + 1.05 * o_step)
    found = FABT()._step(CountedModel(model, y_B), a_BCHW, o_BCHW, y_B, target_B)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(expected, a_BCHW + 1.05 * step, atol=1e-5)


def test_an_image_that_holds_costs_a_gradient_and_two_queries_a_step_and_one_query_more() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    attacked = FABT(epsilon=1e-4, steps=6)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert attacked.gradients_B.tolist() == [(NUM_CLASSES - 1) * 6] * 3
    assert attacked.queries_B.tolist() == [1 + (NUM_CLASSES - 1) * 12] * 3


def test_stopping_early_changes_the_cost_and_not_the_success() -> None:
    model, x_BCHW = convolutional_model(), mild_images(32)
    y_B = model(x_BCHW).argmax(1)
    early, whole = (FABT(epsilon=0.01, steps=15, stops_early=stops)(model, x_BCHW, y_B) for stops in (True, False))
    assert 0 < early.is_fooled_B.sum() < 32
    assert torch.equal(early.is_fooled_B, whole.is_fooled_B)
    assert early.gradients_B.sum() < whole.gradients_B.sum()
    assert whole.l2_B[whole.is_fooled_B].mean() < early.l2_B[early.is_fooled_B].mean()


def test_images_wrong_from_the_start_cost_one_query_and_stay() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    attacked = FABT()(model, x_BCHW, (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES)
    assert torch.equal(attacked.images_BCHW, x_BCHW)
    assert attacked.queries_B.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["steps", "num_targets"])
def test_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected at least one"):
        FABT(**{name: 0})  # type: ignore[arg-type]
