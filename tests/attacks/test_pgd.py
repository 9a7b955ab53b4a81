"""PGD: steps, seed, counts, and that on a trained net it is stronger than FGSM and grows with epsilon and steps."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
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


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"at least one step, got {steps}"):
        PGD(steps=steps)


@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan"), 2.0])
def test_a_step_that_goes_nowhere_or_backwards_is_refused(step_size: float) -> None:
    with pytest.raises(ConfigError, match="expected step_size"):
        PGD(step_size=step_size)
