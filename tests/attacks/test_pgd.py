"""PGD: steps, seed, counts, and that on a trained net it is stronger than FGSM and grows with epsilon and steps."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from tiny_models import convolutional_model, mild_images
from torch import Tensor, nn

from capgan_edge.attacks import FGSM, PGD, LinfAttack
from capgan_edge.errors import ConfigError
from capgan_edge.models.victim import SimpleResNet

Trained = tuple[SimpleResNet, Tensor, Tensor]


def accuracy(attack: LinfAttack, trained: Trained) -> float:
    model, x_NCHW, y_N = trained
    return 1 - attack(model, x_NCHW[:64], y_N[:64]).is_fooled_B.float().mean().item()


def test_the_net_of_these_tests_has_learnt_its_task(trained: Trained) -> None:
    assert accuracy(FGSM(epsilon=0.0), trained) >= 0.9


def test_the_same_seed_gives_the_same_images_and_another_seed_others(trained: Trained) -> None:
    model, x_NCHW, y_N = trained
    first, again, other = (PGD(steps=2, seed=s)(model, x_NCHW[:8], y_N[:8]).images_BCHW for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_random_start_is_not_torchs_global_one(trained: Trained) -> None:
    model, x_NCHW, y_N = trained
    state = torch.random.get_rng_state()
    PGD(steps=1)(model, x_NCHW[:2], y_N[:2])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("steps", [1, 7])
def test_each_step_takes_one_gradient(steps: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    assert PGD(steps=steps)(model, torch.rand(2, 3, 2, 2), torch.tensor([0, 1])).num_gradients == steps


def test_the_default_step_is_a_quarter_of_epsilon() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x_BCHW, y_B = torch.full((2, 3, 2, 2), 0.5), torch.tensor([0, 1])
    attacked = PGD(epsilon=0.08, steps=1, has_random_start=False)(model, x_BCHW, y_B)
    torch.testing.assert_close((attacked.images_BCHW - x_BCHW).abs(), torch.full_like(x_BCHW, 0.02))


def test_two_steps_follow_the_gradient_at_the_point_reached(trained: Trained) -> None:
    model, x_NCHW, y_N = trained
    x_BCHW, y_B, step = x_NCHW[:4], y_N[:4], 0.01
    a_BCHW = x_BCHW
    for _ in range(2):
        leaf = a_BCHW.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), y_B, reduction="sum"), leaf)
        a_BCHW = torch.clamp(a_BCHW + step * gradient.sign(), 0, 1)
    attack = PGD(epsilon=0.03, steps=2, step_size=step, has_random_start=False)
    torch.testing.assert_close(attack(model, x_BCHW, y_B).images_BCHW, a_BCHW)


def test_pgd_raises_the_loss_more_than_fgsm(trained: Trained) -> None:
    model, x_NCHW, y_N = trained
    x_BCHW, y_B = x_NCHW[:64], y_N[:64]
    losses = {
        name: F.cross_entropy(model(attack(model, x_BCHW, y_B).images_BCHW), y_B).item()
        for name, attack in {"clean": FGSM(epsilon=0.0), "fgsm": FGSM(), "pgd": PGD(steps=7)}.items()
    }
    assert losses["clean"] < losses["fgsm"] < losses["pgd"]


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_accuracy_falls_as_epsilon_grows(trained: Trained, name: str) -> None:
    shares = [
        accuracy(FGSM(epsilon=e / 255) if name == "fgsm" else PGD(epsilon=e / 255, steps=4), trained)
        for e in (0, 4, 8, 16)
    ]
    assert all(smaller >= larger for smaller, larger in itertools.pairwise(shares))
    assert shares[0] - shares[-1] > 0.5


def test_accuracy_falls_with_more_steps(trained: Trained) -> None:
    shares = [accuracy(PGD(epsilon=8 / 255, steps=steps), trained) for steps in (1, 3, 8)]
    assert all(fewer >= more for fewer, more in itertools.pairwise(shares))
    assert shares[0] - shares[-1] > 0.1


def test_restarts_keep_what_fools_and_of_the_rest_the_highest_loss() -> None:
    model, x_BCHW = convolutional_model(), mild_images(48)
    y_B = model(x_BCHW).argmax(1)
    once, often = (PGD(epsilon=0.02, steps=2, restarts=n)(model, x_BCHW, y_B) for n in (1, 6))
    assert (once.is_fooled_B & ~often.is_fooled_B).sum() == 0
    assert often.is_fooled_B.sum() > once.is_fooled_B.sum()
    held = ~often.is_fooled_B
    losses = [F.cross_entropy(model(a.images_BCHW[held]), y_B[held], reduction="none") for a in (once, often)]
    assert (losses[1] >= losses[0] - 1e-6).all()
    assert losses[1].mean() > losses[0].mean()


def test_a_restart_is_for_the_images_that_hold() -> None:
    model, x_BCHW = convolutional_model(), mild_images(24)
    attacked = PGD(epsilon=0.01, steps=3, restarts=4)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert 0 < attacked.is_fooled_B.sum() < 24
    assert (attacked.gradients_B[~attacked.is_fooled_B] == 12).all()
    assert attacked.gradients_B.min() == 3
    assert (attacked.queries_B == attacked.gradients_B // 3 * 4).all()  # one more a start tells the survivors


def test_stopping_early_never_saves_an_image_and_costs_less() -> None:
    model, x_BCHW = convolutional_model(), mild_images(32)
    y_B = model(x_BCHW).argmax(1)
    early, whole = (PGD(epsilon=0.02, steps=20, stops_early=stops)(model, x_BCHW, y_B) for stops in (True, False))
    assert (whole.is_fooled_B & ~early.is_fooled_B).sum() == 0
    assert early.gradients_B.sum() < whole.gradients_B.sum()
    assert (early.gradients_B[~early.is_fooled_B] == 20).all()


@pytest.mark.parametrize("restarts", [0, -3])
def test_fewer_than_one_start_is_refused(restarts: int) -> None:
    with pytest.raises(ConfigError, match=f"at least one start, got {restarts}"):
        PGD(restarts=restarts)


def test_restarts_that_would_all_be_the_same_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected one start without a random start, got restarts=2"):
        PGD(restarts=2, has_random_start=False)


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"at least one step, got {steps}"):
        PGD(steps=steps)


@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan"), 2.0])
def test_a_step_that_goes_nowhere_or_backwards_is_refused(step_size: float) -> None:
    with pytest.raises(ConfigError, match="expected step_size"):
        PGD(step_size=step_size)
