"""What every attack promises: the ball, the range, the seed, the counts, and inputs left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import HEIGHT_PX, NUM_CLASSES, WIDTH_PX, convolutional_model, linear_model, mild_images
from torch import Tensor, nn

from capgan_edge.attacks import (
    APGDCE,
    APGDT,
    CWL2,
    EOT,
    FABT,
    FGSM,
    MIFGSM,
    PGD,
    SPSA,
    Attack,
    AutoAttack,
    LinfAttack,
    Square,
)
from capgan_edge.errors import ConfigError, DataError, InputError

MakeAttack = Callable[..., LinfAttack]
ATTACKS: dict[str, MakeAttack] = {
    "fgsm": FGSM,
    "pgd": lambda **options: PGD(steps=3, **options),
    "pgd with steps that overshoot": lambda **options: PGD(steps=3, step_size=1.0, **options),
    "pgd with restarts": lambda **options: PGD(steps=2, restarts=3, **options),
    "pgd that stops early": lambda **options: PGD(steps=3, stops_early=True, **options),
    "mi-fgsm": lambda **options: MIFGSM(steps=3, **options),
    "apgd-ce": lambda **options: APGDCE(steps=8, restarts=2, **options),
    "apgd-ce to the end": lambda **options: APGDCE(steps=8, stops_early=False, **options),
    "apgd-t": lambda **options: APGDT(steps=8, **options),
    "fab-t": lambda **options: FABT(steps=5, **options),
    "fab-t over all targets": lambda **options: FABT(steps=5, stops_early=False, **options),
    "square": lambda **options: Square(queries=10, restarts=2, **options),
    "spsa": lambda **options: SPSA(steps=3, batch=16, learning_rate=0.03, **options),
    "autoattack": lambda **options: AutoAttack(steps=4, queries=5, **options),
}
RANDOM = {name for name in ATTACKS if not name.startswith(("fgsm", "mi-fgsm", "fab-t"))}


def random_batch(num: int, seed: int, contrast: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    noise_BCHW = torch.rand(num, 3, HEIGHT_PX, WIDTH_PX, generator=generator)
    x_BCHW = (0.5 + contrast * (noise_BCHW - 0.5)).clamp(0, 1)
    return x_BCHW, torch.randint(NUM_CLASSES, (num,), generator=generator)


@pytest.fixture(params=list(ATTACKS.values()), ids=list(ATTACKS))
def make_attack(request: pytest.FixtureRequest) -> MakeAttack:
    made: MakeAttack = request.param
    return made


@settings(max_examples=10, deadline=None)
@given(
    epsilon=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    num=st.integers(1, 3),
    contrast=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    make_model=st.sampled_from([linear_model, convolutional_model]),
)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_leaves_the_ball_or_the_range(
    name: str, epsilon: float, seed: int, num: int, contrast: float, make_model: Callable[[], nn.Module]
) -> None:
    x_BCHW, y_B = random_batch(num, seed, contrast)
    attacked = ATTACKS[name](epsilon=epsilon, seed=seed)(make_model(), x_BCHW, y_B)
    assert (attacked.images_BCHW - x_BCHW).abs().max() <= epsilon + 1e-6
    assert attacked.images_BCHW.min() >= 0
    assert attacked.images_BCHW.max() <= 1
    assert attacked.images_BCHW.shape == x_BCHW.shape


def test_the_model_is_never_asked_for_pixels_outside_the_range(make_attack: MakeAttack) -> None:
    model, x_BCHW = linear_model(), torch.rand(4, 3, HEIGHT_PX, WIDTH_PX).round()
    seen = []

    def watched(a_BCHW: Tensor) -> Tensor:
        seen.append((float(a_BCHW.detach().min()), float(a_BCHW.detach().max())))
        logits_BK: Tensor = model(a_BCHW)
        return logits_BK

    make_attack(epsilon=0.2)(watched, x_BCHW, model(x_BCHW).argmax(1))
    assert min(low for low, _ in seen) >= 0
    assert max(high for _, high in seen) <= 1


def test_epsilon_zero_is_the_identity(make_attack: MakeAttack) -> None:
    x_BCHW, y_B = torch.rand(4, 3, HEIGHT_PX, WIDTH_PX), torch.tensor([0, 1, 2, 0])
    assert torch.equal(make_attack(epsilon=0.0)(linear_model(), x_BCHW, y_B).images_BCHW, x_BCHW)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_seed_decides_and_torchs_global_one_does_not(name: str) -> None:
    model, x_BCHW = convolutional_model(), mild_images(16)
    y_B = model(x_BCHW).argmax(1)
    images = []
    for seed, global_seed in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(global_seed)
        images.append(ATTACKS[name](epsilon=0.1, seed=seed)(model, x_BCHW, y_B).images_BCHW)
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2]) == (name not in RANDOM)


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_a_random_attack_leaves_torchs_global_generator_alone(name: str) -> None:
    model, (x_BCHW, y_B) = linear_model(), random_batch(2, 0, 1.0)
    state = torch.random.get_rng_state()
    ATTACKS[name](epsilon=0.1)(model, x_BCHW, y_B)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_attack_leaves_images_labels_and_model_as_they_are(make_attack: MakeAttack) -> None:
    model = linear_model().requires_grad_()  # parameters not frozen: gradients would land in them
    x_BCHW = torch.rand(4, 3, HEIGHT_PX, WIDTH_PX)
    y_B = model(x_BCHW).argmax(1)
    before, labels, weights = x_BCHW.clone(), y_B.tolist(), [p.detach().clone() for p in model.parameters()]
    attacked = make_attack(epsilon=0.1)(model, x_BCHW, y_B)
    assert not torch.equal(attacked.images_BCHW, x_BCHW)
    assert not any(part.requires_grad for part in attacked)
    assert torch.equal(x_BCHW, before)
    assert not x_BCHW.requires_grad
    assert y_B.tolist() == labels
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), weights, strict=True))


def test_an_attack_works_where_gradients_are_switched_off(make_attack: MakeAttack) -> None:
    model, x_BCHW = linear_model(), torch.rand(2, 3, HEIGHT_PX, WIDTH_PX)
    with torch.no_grad():
        attacked = make_attack(epsilon=0.1)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert not torch.equal(attacked.images_BCHW, x_BCHW)


def test_success_is_a_label_that_is_no_longer_the_true_one(make_attack: MakeAttack) -> None:
    model, x_BCHW = linear_model(), mild_images(48)
    y_B = model(x_BCHW).argmax(1)
    attacked = make_attack(epsilon=0.05)(model, x_BCHW, y_B)
    assert torch.equal(attacked.is_fooled_B, model(attacked.images_BCHW).argmax(1) != y_B)
    assert 0 < int(attacked.is_fooled_B.sum()) < 48


def test_every_image_wrong_from_the_start_is_no_trouble(make_attack: MakeAttack) -> None:
    model, x_BCHW = linear_model(), mild_images(4)
    attacked = make_attack(epsilon=0.01)(model, x_BCHW, (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES)
    assert attacked.is_fooled_B.all()


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), 8.0])
def test_an_epsilon_outside_0_to_1_is_refused(make_attack: MakeAttack, epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"expected epsilon in \[0, 1\]"):
        make_attack(epsilon=epsilon)


def test_a_black_pixel_is_never_made_darker(make_attack: MakeAttack) -> None:
    x_BCHW = torch.zeros(2, 3, HEIGHT_PX, WIDTH_PX)
    images_BCHW = make_attack(epsilon=0.1)(linear_model(), x_BCHW, torch.tensor([0, 1])).images_BCHW
    assert images_BCHW.min() == 0
    assert images_BCHW.max() <= 0.1 + 1e-6


GOOD = torch.rand(2, 3, HEIGHT_PX, WIDTH_PX)
REFUSED = {
    "8-bit values": (GOOD * 255, torch.tensor([0, 1]), InputError, r"expected images in \[0, 1\]"),
    "a NaN": (GOOD * torch.nan, torch.tensor([0, 1]), InputError, r"expected images in \[0, 1\]"),
    "uint8": (GOOD.to(torch.uint8), torch.tensor([0, 1]), InputError, "expected float32 images"),
    "one image without a batch": (GOOD[0], torch.tensor([0]), InputError, "expected float32 images"),
    "no image": (GOOD[:0], torch.tensor([], dtype=torch.int64), InputError, "at least one"),
    "a label too few": (GOOD, torch.tensor([0]), DataError, "expected 2 int64 labels"),
    "labels that are floats": (GOOD, torch.tensor([0.0, 1.0]), DataError, "expected 2 int64 labels"),
    "a label below 0": (GOOD, torch.tensor([0, -1]), DataError, "expected labels of 0 and above, got -1"),
    "a label above the classes": (GOOD, torch.tensor([0, 5]), DataError, "expected labels below 5, .* got 5"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("attack", [FGSM(), Square(), CWL2(), EOT(attack=PGD())], ids=lambda a: type(a).__name__)
def test_images_and_labels_out_of_range_are_refused(
    attack: Attack, case: tuple[Tensor, Tensor, type[Exception], str]
) -> None:
    x_BCHW, y_B, error, message = case
    with pytest.raises(error, match=message):
        attack(linear_model(), x_BCHW, y_B)
