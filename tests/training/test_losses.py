"""Every loss against numpy, written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError
from capgan_edge.models.discriminator import Judged
from capgan_edge.training.losses import (
    WEIGHT_PRESETS,
    LossWeights,
    discriminator_loss,
    domain_loss,
    semantic_loss,
    towards,
)

RNG = np.random.default_rng(0)


def judged_by(patches: NDArray[np.float32], logits: NDArray[np.float32]) -> Judged:
    return Judged(torch.from_numpy(patches), torch.from_numpy(logits))


def some_judged() -> tuple[Judged, NDArray[np.float32], NDArray[np.float32]]:
    patches = RNG.normal(size=(3, 1, 2, 2)).astype(np.float32)
    logits = RNG.normal(size=(3, 2)).astype(np.float32)
    return judged_by(patches, logits), patches, logits


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_lsgan_is_the_mean_squared_distance_to_the_label(target: float) -> None:
    judged, patches, logits = some_judged()
    gan, cam = towards(judged, target)
    assert gan.item() == pytest.approx(np.mean((patches - target) ** 2), rel=1e-5)
    assert cam.item() == pytest.approx(np.mean((logits - target) ** 2), rel=1e-5)


def test_the_discriminator_wants_one_for_real_and_zero_for_fake() -> None:
    ones, zeros = np.ones((2, 1, 2, 2), np.float32), np.zeros((2, 1, 2, 2), np.float32)
    real, fake = judged_by(ones, ones[:, 0, 0]), judged_by(zeros, zeros[:, 0, 0])
    assert discriminator_loss(real, fake, LossWeights()).item() == 0
    assert discriminator_loss(fake, real, LossWeights()).item() == pytest.approx(2)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_weighs_patches_against_cam_in_the_discriminator(alpha: float) -> None:
    (real, r, eta_r), (fake, f, eta_f) = some_judged(), some_judged()
    patches = np.mean((r - 1) ** 2) + np.mean(f**2)
    cam = np.mean((eta_r - 1) ** 2) + np.mean(eta_f**2)
    loss = discriminator_loss(real, fake, LossWeights(alpha=alpha)).item()
    assert loss == pytest.approx(alpha * patches + (1 - alpha) * cam, rel=1e-5)


def test_the_cam_loss_of_a_translator_is_cross_entropy_with_its_source_as_one() -> None:
    source, other = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    expected = -np.mean(np.log(1 / (1 + np.exp(-source)))) - np.mean(np.log(1 - 1 / (1 + np.exp(-other))))
    assert domain_loss(torch.from_numpy(source), torch.from_numpy(other)).item() == pytest.approx(expected, rel=1e-6)
    sure = torch.full((2, 1), 20.0)
    assert domain_loss(sure, -sure).item() == pytest.approx(0, abs=1e-6)
    assert domain_loss(-sure, sure).item() == pytest.approx(40, rel=1e-5)


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = e / e.sum(axis=-1, keepdims=True)
    return shares


@pytest.mark.parametrize("temperature", [1.0, 10.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_semantic_loss_is_t_squared_kl_per_image_over_the_fakes(temperature: float, reduction: Any) -> None:
    teacher_BK, fakes_FBK = 3 * RNG.normal(size=(4, 5)), 3 * RNG.normal(size=(3, 4, 5))
    p, q = softmax(teacher_BK / temperature), softmax(fakes_FBK / temperature)
    kl_FB = (p * (np.log(p) - np.log(q))).sum(-1)
    expected = temperature**2 * kl_FB.mean(1).sum() / (3 if reduction == "mean" else 1)
    weights = LossWeights(temperature=temperature, semantic_reduction=reduction)
    loss = semantic_loss(torch.from_numpy(teacher_BK), torch.from_numpy(fakes_FBK), weights)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_semantic_loss_is_zero_for_the_teachers_own_logits() -> None:
    teacher_BK = torch.randn(4, 5)
    loss = semantic_loss(teacher_BK, torch.stack([teacher_BK, teacher_BK + 7]), LossWeights())  # softmax ignores shifts
    assert loss.item() == pytest.approx(0, abs=1e-4)


def test_the_semantic_loss_teaches_the_student_and_never_the_teacher() -> None:
    teacher_BK, fakes_FBK = torch.randn(4, 5, requires_grad=True), torch.randn(2, 4, 5, requires_grad=True)
    semantic_loss(teacher_BK, fakes_FBK, LossWeights()).backward()  # type: ignore[no-untyped-call]
    assert teacher_BK.grad is None
    assert fakes_FBK.grad is not None
    T = 10.0
    by_hand = T * (torch.softmax(fakes_FBK / T, -1) - torch.softmax(teacher_BK / T, -1)) / 4
    torch.testing.assert_close(fakes_FBK.grad, by_hand)


def test_losses_of_half_precision_logits_are_computed_in_fp32() -> None:
    teacher_BK, fakes_FBK = torch.randn(4, 5).bfloat16(), torch.randn(2, 4, 5).bfloat16()
    loss = semantic_loss(teacher_BK, fakes_FBK, LossWeights())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, semantic_loss(teacher_BK.float(), fakes_FBK.float(), LossWeights()))


def test_the_weight_presets_are_the_papers_and_ugatits() -> None:
    paper, ugatit = WEIGHT_PRESETS["paper"], WEIGHT_PRESETS["ugatit"]
    assert (paper.alpha, paper.temperature, paper.identity, paper.cycle) == (0.7, 10.0, 1.0, 1.0)
    assert (ugatit.alpha, ugatit.temperature, ugatit.identity, ugatit.cycle) == (0.7, 10.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", -0.1), ("alpha", 1.1), ("alpha", float("nan")), ("temperature", 0.0), ("temperature", float("nan")),
     ("identity", -1.0), ("cycle", float("inf")), ("semantic_reduction", "max")],
)  # fmt: skip
def test_a_weight_out_of_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"expected .*{name}|expected inner weights"):
        LossWeights(**{name: value})
