"""FGSM against its formula."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from capgan_edge.attacks import FGSM, PGD
from capgan_edge.attacks.fgsm import fgsm_with_logits
from capgan_edge.models.victim import SimpleResNet

EPSILON = 8 / 255


def test_fgsm_of_a_linear_model_is_the_formula_worked_out_by_hand() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(12, 3)
    x_BCHW, y_B = torch.rand(5, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    W, b = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    x_BP = x_BCHW.flatten(1).numpy()
    logits_BK = x_BP @ W.T + b
    softmax_BK = np.exp(logits_BK) / np.exp(logits_BK).sum(1, keepdims=True)
    gradient_BP = (softmax_BK - np.eye(3, dtype=np.float32)[y_B.numpy()]) @ W
    expected_BP = np.clip(x_BP + np.float32(EPSILON) * np.sign(gradient_BP), 0, 1)
    attacked = FGSM(epsilon=EPSILON)(nn.Sequential(nn.Flatten(), linear), x_BCHW, y_B)
    np.testing.assert_allclose(attacked.images_BCHW.flatten(1).numpy(), expected_BP, atol=1e-6)


def test_fgsm_takes_one_gradient_and_no_random_start(trained: tuple[SimpleResNet, Tensor, Tensor]) -> None:
    model, x_NCHW, y_N = trained
    first, second = (FGSM(epsilon=EPSILON, seed=seed)(model, x_NCHW[:8], y_N[:8]) for seed in (0, 1))
    assert first.num_gradients == 1
    assert torch.equal(first.images_BCHW, second.images_BCHW)


def test_training_gets_the_same_images_and_the_clean_logits(trained: tuple[SimpleResNet, Tensor, Tensor]) -> None:
    model, x_NCHW, y_N = trained
    images_BCHW, logits_BK = fgsm_with_logits(model, x_NCHW[:8], y_N[:8], EPSILON)
    assert torch.equal(images_BCHW, FGSM(epsilon=EPSILON)(model, x_NCHW[:8], y_N[:8]).images_BCHW)
    torch.testing.assert_close(logits_BK, model(x_NCHW[:8]))
    assert not logits_BK.requires_grad


def test_one_step_of_pgd_from_the_image_with_the_whole_radius_is_fgsm(
    trained: tuple[SimpleResNet, Tensor, Tensor],
) -> None:
    model, x_NCHW, y_N = trained
    pgd = PGD(epsilon=EPSILON, steps=1, step_size=EPSILON, has_random_start=False)(model, x_NCHW[:8], y_N[:8])
    fgsm = FGSM(epsilon=EPSILON)(model, x_NCHW[:8], y_N[:8])
    torch.testing.assert_close(pgd.images_BCHW, fgsm.images_BCHW)
