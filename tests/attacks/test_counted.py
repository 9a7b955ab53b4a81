"""The counts are exact, image by image, and a model that cannot be attacked so is refused in one line."""

from __future__ import annotations

import pytest
import torch
from tiny_models import NUM_CLASSES, convolutional_model, linear_model, mild_images
from torch import Tensor, nn

from capgan_edge.attacks import APGDCE, APGDT, FABT, FGSM, MIFGSM, PGD, SPSA, Attack, AutoAttack, Square
from capgan_edge.attacks.counted import CountedModel
from capgan_edge.attacks.losses import cross_entropy
from capgan_edge.errors import ConfigError, InputError

EPSILON = 0.03


class Meter(nn.Module):
    """A model that keeps its own books: each image in, and each image whose gradient comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model()
        self.num_images = self.num_gradients = 0

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.num_images += len(x_BCHW)
        if x_BCHW.requires_grad:
            x_BCHW = x_BCHW * 1  # a hook needs a tensor inside the graph
            x_BCHW.register_hook(self._came_back)
        logits_BK: Tensor = self.inner(x_BCHW)
        return logits_BK

    def _came_back(self, gradient_BCHW: Tensor) -> None:
        self.num_gradients += len(gradient_BCHW)


ATTACKS: list[Attack] = [
    FGSM(epsilon=EPSILON),
    PGD(epsilon=EPSILON, steps=5),
    PGD(epsilon=EPSILON, steps=5, restarts=3),
    PGD(epsilon=EPSILON, steps=5, restarts=2, stops_early=True),
    MIFGSM(epsilon=EPSILON, steps=5),
    APGDCE(epsilon=EPSILON, steps=10, restarts=2),
    APGDT(epsilon=EPSILON, steps=10),
    FABT(epsilon=EPSILON, steps=5),
    Square(epsilon=EPSILON, queries=20, restarts=2),
    SPSA(epsilon=EPSILON, steps=3, batch=300),
    AutoAttack(epsilon=EPSILON, steps=5, queries=20),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_the_counts_are_those_of_a_model_that_counts_itself(attack: Attack) -> None:
    meter, x_BCHW = Meter(), mild_images(12)
    y_B = meter.inner(x_BCHW).argmax(1)
    y_B[0] = (y_B[0] + 1) % NUM_CLASSES  # one that is wrong from the start
    attacked = attack(meter, x_BCHW, y_B)
    assert 1 < int(attacked.is_fooled_B.sum()) < 12
    assert int(attacked.queries_B.sum()) == meter.num_images - 12  # the success test is not the attacker's
    assert int(attacked.gradients_B.sum()) == meter.num_gradients
    assert attacked.num_queries == int(attacked.queries_B.max())
    assert attacked.num_gradients == int(attacked.gradients_B.max())


def test_the_counts_of_an_image_do_not_depend_on_its_neighbours() -> None:
    model, x_BCHW = convolutional_model(), mild_images(6)
    y_B = model(x_BCHW).argmax(1)
    attack = FABT(epsilon=EPSILON, steps=5)
    together = attack(model, x_BCHW, y_B).queries_B.tolist()
    assert together == [int(attack(model, x_BCHW[i : i + 1], y_B[i : i + 1]).queries_B) for i in range(6)]
    assert len(set(together)) > 1


def test_narrowing_twice_counts_for_the_images_of_the_whole_batch() -> None:
    model, x_BCHW = linear_model(), mild_images(4)
    counted = CountedModel(model, torch.zeros(4, dtype=torch.int64))
    counted.at(torch.tensor([1, 3])).at(torch.tensor([1, 1, 0])).logits(x_BCHW[:3])
    assert counted.queries_N.tolist() == [0, 1, 0, 2]
    assert counted.gradients_N.tolist() == [0, 0, 0, 0]


def test_a_gradient_is_that_of_each_images_own_loss() -> None:
    model, x_BCHW, y_B = convolutional_model(), mild_images(3), torch.tensor([0, 1, 2])
    counted = CountedModel(model, y_B)
    together = counted.gradient(x_BCHW, lambda logits_BK: cross_entropy(logits_BK, y_B))
    for i in range(3):
        leaf = x_BCHW[i : i + 1].clone().requires_grad_()
        loss = cross_entropy(model(leaf), y_B[i : i + 1])
        (alone,) = torch.autograd.grad(loss.sum(), leaf)
        torch.testing.assert_close(together.gradient_BCHW[i : i + 1], alone)
        torch.testing.assert_close(together.loss_B[i : i + 1], loss.detach())
    torch.testing.assert_close(together.logits_BK, model(x_BCHW))


def outputs_alone(x_BCHW: Tensor) -> Tensor:
    """Answer as a runner of an ONNX file does, through numpy."""
    return torch.from_numpy(linear_model()(x_BCHW.detach()).numpy())


def deaf(x_BCHW: Tensor) -> Tensor:
    """Answer with a parameter that requires grad and no trace of the images."""
    return torch.nn.Parameter(torch.eye(NUM_CLASSES)[: len(x_BCHW)])


@pytest.mark.parametrize("model", [outputs_alone, deaf])
@pytest.mark.parametrize("attack", [FGSM(), PGD(), APGDCE(), APGDT(), FABT()], ids=lambda a: type(a).__name__)
def test_a_gradient_attack_on_outputs_alone_names_what_would_work(attack: Attack, model: object) -> None:
    with pytest.raises(ConfigError, match=r"needs gradients.*use SPSA or Square"):
        attack(model, mild_images(2), torch.tensor([0, 1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "attack", [Square(epsilon=0.1, queries=50), SPSA(epsilon=0.1, steps=5, batch=64, learning_rate=0.03)]
)
def test_a_query_attack_works_on_outputs_alone(attack: Attack) -> None:
    x_BCHW = mild_images(8)
    y_B = outputs_alone(x_BCHW).argmax(1)
    attacked = attack(outputs_alone, x_BCHW, y_B)
    assert int(attacked.is_fooled_B.sum()) >= 4
    assert attacked.num_gradients == 0


def test_nan_logits_are_refused_and_not_counted_as_success() -> None:
    with pytest.raises(ConfigError, match="expected logits that are numbers"):
        Square()(lambda x_BCHW: linear_model()(x_BCHW) * torch.nan, mild_images(2), torch.tensor([0, 1]))


def test_logits_that_turn_nan_under_attack_are_refused_too() -> None:
    x_BCHW = mild_images(2)

    def fragile(a_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = linear_model()(a_BCHW)
        return logits_BK if torch.equal(a_BCHW, x_BCHW) else logits_BK * torch.nan

    with pytest.raises(ConfigError, match="expected logits that are numbers"):
        FGSM()(fragile, x_BCHW, torch.tensor([0, 1]))


def test_nan_gradients_are_refused() -> None:
    def steep_at_zero(x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = linear_model()(x_BCHW) + (0 * x_BCHW).sqrt().sum()
        return logits_BK

    with pytest.raises(ConfigError, match="expected gradients that are numbers"):
        FGSM()(steep_at_zero, mild_images(2), torch.tensor([0, 1]))


def test_a_model_that_returns_no_logits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a model that gives logits \[2, classes\].*got \[2\]"):
        Square()(lambda x_BCHW: linear_model()(x_BCHW).argmax(1), mild_images(2), torch.tensor([0, 1]))


def test_images_of_another_size_are_refused_by_the_models_own_words() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, NUM_CLASSES))
    x_BCHW = torch.rand(2, 3, 9, 9)
    for attack in (FGSM(), Square(queries=2)):
        with pytest.raises(InputError, match=r"expected images .* that the model takes, got \[2, 3, 9, 9\]"):
            attack(model, x_BCHW, torch.tensor([0, 1]))


@pytest.mark.parametrize("failing_call", [2, 4], ids=["in the attack", "in front of the judge"])
def test_what_a_model_says_later_is_not_taken_for_the_images_shape(failing_call: int) -> None:
    """It took the first images: whatever fails after them is its own matter."""
    inner, calls = linear_model(), [0]

    def fails_second(x_BCHW: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == failing_call:
            raise RuntimeError("the device is gone")
        logits_BK: Tensor = inner(x_BCHW)
        return logits_BK

    with pytest.raises(RuntimeError, match="the device is gone"):
        PGD(steps=3)(fails_second, mild_images(2), torch.tensor([0, 1]))
