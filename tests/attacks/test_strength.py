"""What an undefended classifier holds under each attack: nothing at 8/255, and less with every step and every 255th."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from tiny_models import convolutional_model, mild_images
from torch import Tensor, nn

from capgan_edge import zoo
from capgan_edge.attacks import APGDCE, APGDT, CWL2, FABT, MIFGSM, PGD, SPSA, Attack, AutoAttack, LinfAttack, Square
from capgan_edge.data.signs import load_signs
from capgan_edge.models.victim import SimpleResNet, folded

Undefended = tuple[nn.Module, Tensor, Tensor]
MakeAttack = Callable[..., LinfAttack]
STEPS, EPSILONS = (1, 3, 10, 30), (0.0, 0.005, 0.01, 0.02, 0.08)


def signs(n: int) -> tuple[Tensor, Tensor]:
    test = load_signs("test", n=n)
    return torch.from_numpy(test.images_NHWC).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(test.labels_N)


@pytest.fixture(scope="module")
def undefended() -> Undefended:
    """Return the victim of cifar10-nano, bare, on signs with its own verdicts for labels: no data to fetch."""
    victim = folded(zoo.load("cifar10-nano").victim)
    x_NCHW = signs(20)[0]
    with torch.no_grad():
        return victim, x_NCHW, victim(x_NCHW).argmax(1)


@pytest.mark.parametrize(
    "attack",
    [MIFGSM(), PGD(stops_early=True), APGDCE(), APGDT(), FABT(), AutoAttack()],
    ids=lambda a: type(a).__name__,
)
def test_a_gradient_attack_leaves_nothing_of_an_undefended_classifier(attack: Attack, undefended: Undefended) -> None:
    assert attack(*undefended).is_fooled_B.all()


@pytest.mark.parametrize("make", [MIFGSM, PGD, APGDCE, APGDT, FABT], ids=lambda make: make.__name__)
def test_at_64_of_255_a_gradient_attack_takes_the_robust_signs_too(make: MakeAttack) -> None:
    x_NCHW, y_N = signs(20)
    options = {"steps": 20, "stops_early": True} if make is PGD else {"steps": 20}
    attacked = make(epsilon=64 / 255, **options)(folded(zoo.load("signs-nano").victim), x_NCHW, y_N)
    assert attacked.is_fooled_B.float().mean() >= 0.99


@pytest.mark.parametrize("attack", [PGD(steps=10), APGDCE(steps=10)], ids=lambda a: type(a).__name__)
def test_gradients_in_bf16_fool_as_many(attack: Attack, trained: tuple[SimpleResNet, Tensor, Tensor]) -> None:
    model, x_BCHW, y_B = trained[0], trained[1][:64], trained[2][:64]
    whole = attack(model, x_BCHW, y_B).is_fooled_B
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images_BCHW = attack(model, x_BCHW, y_B).images_BCHW
    half = model(images_BCHW).argmax(1) != y_B  # judged in fp32
    assert 16 < whole.sum() < 64
    assert abs(int(whole.sum()) - int(half.sum())) <= 2


def test_cw_takes_every_sign_and_says_how_far(undefended: Undefended) -> None:
    attacked = CWL2(steps=60)(*undefended)
    assert attacked.is_fooled_B.all()
    assert 0 < attacked.mean_l2 < 8 / 255 * (3 * 32 * 32) ** 0.5  # nearer than FGSM at 8/255 goes


MAKE: dict[str, MakeAttack] = {
    "mi-fgsm": MIFGSM,
    "pgd": PGD,
    "apgd-ce": APGDCE,
    "apgd-t": APGDT,
    "fab-t": FABT,
    "square": lambda steps, **options: Square(queries=10 * steps, **options),
    "spsa": lambda steps, **options: SPSA(steps=steps, batch=32, learning_rate=0.003, **options),
    "autoattack": lambda steps, **options: AutoAttack(steps=steps, queries=steps, **options),
}


def accuracies(attacks: list[LinfAttack], model: nn.Module, x_BCHW: Tensor) -> list[float]:
    y_B = model(x_BCHW).argmax(1)
    return [1 - attack(model, x_BCHW, y_B).is_fooled_B.float().mean().item() for attack in attacks]


@pytest.mark.parametrize("name", MAKE)
def test_accuracy_falls_as_epsilon_grows(name: str) -> None:
    attacks = [MAKE[name](epsilon=epsilon, steps=10) for epsilon in EPSILONS]
    held = accuracies(attacks, convolutional_model(), mild_images(64))
    assert held[0] == 1
    assert all(smaller >= larger for smaller, larger in itertools.pairwise(held))
    assert held[0] - held[-1] > 0.5


@pytest.mark.parametrize("name", MAKE)
def test_accuracy_falls_with_more_steps(name: str, trained: tuple[SimpleResNet, Tensor, Tensor]) -> None:
    if name in ("fab-t", "square", "spsa"):
        held = accuracies(
            [MAKE[name](epsilon=0.01, steps=steps) for steps in STEPS], convolutional_model(), mild_images(64)
        )
    else:  # a random net is all but linear, where one step of epsilon is as good as thirty
        held = accuracies(
            [MAKE[name](epsilon=8 / 255, steps=steps) for steps in STEPS[:3]], trained[0], trained[1][:48]
        )
    assert all(fewer >= more for fewer, more in itertools.pairwise(held))
    assert held[0] > held[-1]
