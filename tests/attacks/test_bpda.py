"""BPDA: the defence runs forward, and the gradient goes back as if it were not there."""

from __future__ import annotations

import torch
from tiny_models import convolutional_model, linear_model, mild_images
from torch import Tensor

from capgan_edge.attacks import PGD, IdentityBackward
from capgan_edge.attacks.counted import CountedModel
from capgan_edge.attacks.losses import cross_entropy


def sixteen_levels(x_BCHW: Tensor) -> Tensor:
    """Round to sixteen levels, through numpy: no gradient, and a zero one where there is."""
    return torch.from_numpy((x_BCHW.numpy() * 15).round() / 15)


def test_forward_is_the_defence_bit_for_bit() -> None:
    model, x_BCHW = convolutional_model(), mild_images(5)
    assert torch.equal(IdentityBackward(sixteen_levels, model)(x_BCHW), model(sixteen_levels(x_BCHW)))


def test_backward_is_the_classifiers_gradient_at_the_purified_image() -> None:
    model, x_BCHW, y_B = convolutional_model(), mild_images(5), torch.tensor([0, 1, 2, 3, 4])
    through = CountedModel(IdentityBackward(sixteen_levels, model), y_B)
    straight = CountedModel(model, y_B)

    def loss(logits_BK: Tensor) -> Tensor:
        return cross_entropy(logits_BK, y_B)

    expected = straight.gradient(sixteen_levels(x_BCHW), loss)
    found = through.gradient(x_BCHW, loss)
    assert torch.equal(found.gradient_BCHW, expected.gradient_BCHW)
    assert found.gradient_BCHW.abs().sum() > 0


def test_pgd_gets_through_a_defence_without_gradients_and_is_judged_behind_it() -> None:
    model, x_BCHW = linear_model(), mild_images(32)
    defended = IdentityBackward(sixteen_levels, model)
    y_B = model(sixteen_levels(x_BCHW)).argmax(1)
    attacked = PGD(epsilon=0.15, steps=10)(defended, x_BCHW, y_B)
    assert torch.equal(attacked.is_fooled_B, model(sixteen_levels(attacked.images_BCHW)).argmax(1) != y_B)
    assert attacked.is_fooled_B.float().mean() > 0.6


def test_a_defence_with_parameters_gets_no_gradients() -> None:
    purify = torch.nn.Conv2d(3, 3, 1)
    x_BCHW = mild_images(2)
    PGD(epsilon=0.1, steps=2)(IdentityBackward(purify, linear_model()), x_BCHW, torch.tensor([0, 1]))
    assert all(parameter.grad is None for parameter in purify.parameters())
