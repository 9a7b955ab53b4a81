"""MI-FGSM against its recurrence, worked out step by step."""

from __future__ import annotations

import pytest
import torch
from tiny_models import convolutional_model, mild_images

from capgan_edge.attacks import FGSM, MIFGSM
from capgan_edge.errors import ConfigError


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_it_is_the_recurrence(decay: float) -> None:
    model, x_BCHW, y_B = convolutional_model(), mild_images(6), torch.tensor([0, 1, 2, 3, 4, 0])
    a_BCHW, momentum_BCHW = x_BCHW, torch.zeros_like(x_BCHW)
    for _ in range(4):
        leaf = a_BCHW.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(model(leaf), y_B, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        momentum_BCHW = decay * momentum_BCHW + gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        a_BCHW = torch.clamp(a_BCHW + 0.01 * momentum_BCHW.sign(), 0, 1)
    attacked = MIFGSM(epsilon=0.04, steps=4, decay=decay)(model, x_BCHW, y_B)
    torch.testing.assert_close(attacked.images_BCHW, a_BCHW)
    assert attacked.num_gradients == 4


def test_momentum_changes_where_it_goes() -> None:
    model, x_BCHW, y_B = convolutional_model(), mild_images(6), torch.tensor([0, 1, 2, 3, 4, 0])
    with_it, without = (
        MIFGSM(epsilon=0.1, steps=10, decay=decay)(model, x_BCHW, y_B).images_BCHW for decay in (1.0, 0.0)
    )
    assert not torch.equal(with_it, without)


def test_one_step_is_fgsm() -> None:
    model, x_BCHW, y_B = convolutional_model(), mild_images(3), torch.tensor([0, 1, 2])
    one, fgsm = (attack(model, x_BCHW, y_B).images_BCHW for attack in (MIFGSM(steps=1), FGSM()))
    torch.testing.assert_close(one, fgsm)


def test_a_flat_loss_leaves_the_image() -> None:
    x_BCHW = mild_images(2)
    attacked = MIFGSM(steps=3)(lambda a_BCHW: 0 * a_BCHW.flatten(1)[:, :2], x_BCHW, torch.tensor([0, 1]))
    assert torch.equal(attacked.images_BCHW, x_BCHW)


@pytest.mark.parametrize("options", [{"steps": 0}, {"decay": -0.1}, {"decay": 1.1}, {"decay": float("nan")}])
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"expected (at least one step|decay in \[0, 1\])"):
        MIFGSM(**options)  # type: ignore[arg-type]
