"""What every attack promises: the ball, the range, the seed, the counts, and inputs left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from capgan_edge.attacks import FGSM, PGD, LinfAttack
from capgan_edge.errors import ConfigError

MakeAttack = Callable[..., LinfAttack]
ATTACKS: dict[str, MakeAttack] = {
    "fgsm": FGSM,
    "pgd": lambda **options: PGD(steps=3, **options),
    "pgd with steps that overshoot": lambda **options: PGD(steps=3, step_size=1.0, **options),
}


def linear_model(seed: int = 0) -> nn.Module:
    """Return a frozen classifier of 4x6 images into three classes."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).requires_grad_(False)


@pytest.fixture(params=list(ATTACKS.values()), ids=list(ATTACKS))
def make_attack(request: pytest.FixtureRequest) -> MakeAttack:
    made: MakeAttack = request.param
    return made


@settings(max_examples=25, deadline=None)
@given(
    epsilon=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    num=st.integers(1, 3),
    contrast=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    name=st.sampled_from(list(ATTACKS)),
)
def test_no_attack_leaves_the_ball_or_the_range(
    epsilon: float, seed: int, num: int, contrast: float, name: str
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x_BCHW = (0.5 + contrast * (torch.rand(num, 3, 4, 6, generator=generator) - 0.5)).clamp(0, 1)
    y_B = torch.randint(3, (num,), generator=generator)
    attacked = ATTACKS[name](epsilon=epsilon, seed=seed)(linear_model(), x_BCHW, y_B)
    assert (attacked.images_BCHW - x_BCHW).abs().max() <= epsilon + 1e-6
    assert attacked.images_BCHW.min() >= 0
    assert attacked.images_BCHW.max() <= 1
    assert attacked.images_BCHW.shape == x_BCHW.shape


def test_epsilon_zero_is_the_identity(make_attack: MakeAttack) -> None:
    x_BCHW, y_B = torch.rand(4, 3, 4, 6), torch.tensor([0, 1, 2, 0])
    assert torch.equal(make_attack(epsilon=0.0)(linear_model(), x_BCHW, y_B).images_BCHW, x_BCHW)


def test_an_attack_leaves_images_labels_and_model_as_they_are() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))  # parameters not frozen: gradients would land in them
    x_BCHW, y_B = torch.rand(4, 3, 4, 6), torch.tensor([0, 1, 2, 0])
    before, weights = x_BCHW.clone(), [p.detach().clone() for p in model.parameters()]
    for make in ATTACKS.values():
        images_BCHW = make(epsilon=0.1)(model, x_BCHW, y_B).images_BCHW
        assert not torch.equal(images_BCHW, x_BCHW)
        assert not images_BCHW.requires_grad
    assert torch.equal(x_BCHW, before)
    assert not x_BCHW.requires_grad
    assert y_B.tolist() == [0, 1, 2, 0]
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), weights, strict=True))


def test_an_attack_works_where_gradients_are_switched_off() -> None:
    x_BCHW, y_B = torch.rand(2, 3, 4, 6), torch.tensor([0, 1])
    with torch.no_grad():
        attacked = FGSM(epsilon=0.1)(linear_model(), x_BCHW, y_B)
    assert not torch.equal(attacked.images_BCHW, x_BCHW)


def test_success_is_a_label_that_is_no_longer_the_true_one() -> None:
    model, x_BCHW = linear_model(), torch.rand(64, 3, 4, 6)
    y_B = model(x_BCHW).argmax(1)
    attacked = FGSM(epsilon=0.02)(model, x_BCHW, y_B)
    assert torch.equal(attacked.is_fooled_B, model(attacked.images_BCHW).argmax(1) != y_B)
    assert 0 < int(attacked.is_fooled_B.sum()) < 64


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), 8.0])
def test_an_epsilon_outside_0_to_1_is_refused(make_attack: MakeAttack, epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"expected epsilon in \[0, 1\]"):
        make_attack(epsilon=epsilon)


def test_a_black_pixel_is_never_made_darker() -> None:
    x_BCHW = torch.zeros(2, 3, 4, 6)
    images_BCHW: Tensor = PGD(epsilon=0.1, steps=4)(linear_model(), x_BCHW, torch.tensor([0, 1])).images_BCHW
    assert images_BCHW.min() == 0
    assert images_BCHW.max() <= 0.1 + 1e-6
