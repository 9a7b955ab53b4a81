"""EOT: an attack on means over a random defence's draws is stronger, exact in its counts and can be had again."""

from __future__ import annotations

import pytest
import torch
from tiny_models import linear_model, mild_images
from torch import Tensor

from capgan_edge.attacks import APGDCE, CWL2, EOT, FGSM, PGD, Attack, Square, StealthyPGD
from capgan_edge.errors import ConfigError

MODEL = linear_model(2)


def noisy(x_BCHW: Tensor) -> Tensor:
    """A defence that shuffles the sign of what it sees of half of the pixels' gradient, by noise on the slope."""
    scale_BCHW = 1 + 6 * torch.randn(x_BCHW.shape)
    centred_BCHW = x_BCHW - 0.5
    # Mean and value at x are the plain model's; a single draw's slope is mostly noise.
    logits_BK: Tensor = MODEL(0.5 + centred_BCHW.detach() + scale_BCHW * (centred_BCHW - centred_BCHW.detach()))
    return logits_BK


@pytest.mark.parametrize("attack", [FGSM(epsilon=0.03), PGD(epsilon=0.03, steps=3)], ids=lambda a: type(a).__name__)
def test_means_find_the_slope_that_a_single_draw_hides(attack: Attack) -> None:
    x_BCHW = mild_images(64)
    y_B = MODEL(x_BCHW).argmax(1)
    plain = attack(MODEL, x_BCHW, y_B).is_fooled_B.float().mean()
    single = attack(noisy, x_BCHW, y_B).is_fooled_B.float().mean()
    averaged = EOT(attack=attack, samples=150)(noisy, x_BCHW, y_B).is_fooled_B.float().mean()
    assert single < plain - 0.1
    assert averaged > single + 0.05


def test_what_the_wrapped_attack_asks_of_a_model_is_asked_here_too() -> None:
    x_BCHW, y_B = mild_images(3), torch.tensor([0, 1, 0])
    with pytest.raises(ConfigError, match="also gives its suspicion for StealthyPGD"):
        EOT(attack=StealthyPGD(steps=2), samples=2)(MODEL, x_BCHW, y_B)


def test_every_draw_is_counted() -> None:
    x_BCHW, y_B = mild_images(3), torch.tensor([0, 1, 0])
    attacked = EOT(attack=PGD(steps=4), samples=5)(noisy, x_BCHW, y_B)
    assert attacked.gradients_B.tolist() == attacked.queries_B.tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    "attack", [PGD(steps=2), APGDCE(steps=5), Square(queries=10), CWL2(steps=5)], ids=lambda a: type(a).__name__
)
def test_the_seed_decides_the_defences_draws_too(attack: Attack) -> None:
    x_BCHW = mild_images(4)
    y_B = MODEL(x_BCHW).argmax(1)
    torch.manual_seed(0)
    first = EOT(attack=attack, samples=2, seed=3)(noisy, x_BCHW, y_B)
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    again = EOT(attack=attack, samples=2, seed=3)(noisy, x_BCHW, y_B)
    assert torch.equal(first.images_BCHW, again.images_BCHW)
    torch.manual_seed(0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_success_is_judged_by_the_mean_of_fresh_draws() -> None:
    calls = []

    def coin(x_BCHW: Tensor) -> Tensor:
        """Class 0 by a hair in one draw of three, class 1 by a hair in the others, class 0 on average."""
        calls.append(len(x_BCHW))
        wins = 9.0 if len(calls) % 3 == 0 else -1.0
        return torch.tensor([[wins, 0.0]]).expand(len(x_BCHW), 2) + 0 * x_BCHW.flatten(1).sum(1, keepdim=True)

    attacked = EOT(attack=FGSM(), samples=3)(coin, mild_images(2), torch.tensor([0, 1]))
    assert attacked.is_fooled_B.tolist() == [False, True]


def test_the_ball_is_the_wrapped_attacks() -> None:
    x_BCHW, y_B = mild_images(3), torch.tensor([0, 1, 0])
    images_BCHW = EOT(attack=PGD(epsilon=0.05, steps=3, step_size=0.5), samples=2)(noisy, x_BCHW, y_B).images_BCHW
    assert (images_BCHW - x_BCHW).abs().max() == pytest.approx(0.05, abs=1e-6)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one sample, got 0"):
        EOT(attack=FGSM(), samples=0)
