"""Auto-PGD's ascent: when it reviews its step, what it spends, and what it keeps."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tiny_models import NUM_CLASSES, convolutional_model, linear_model, mild_images
from torch import Tensor

from capgan_edge.attacks import APGDCE, APGDT, PGD, LinfAttack
from capgan_edge.attacks.ascent import _halve_where_stuck, _State, checkpoints
from capgan_edge.attacks.base import project
from capgan_edge.attacks.losses import cross_entropy, likeliest_others, targeted_dlr
from capgan_edge.errors import ConfigError


def test_checkpoints_of_a_hundred_steps_are_the_papers() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("steps", [1, 2, 5, 20, 1000])
def test_checkpoints_lie_within_the_steps_and_rise(steps: int) -> None:
    stops = checkpoints(steps)
    assert stops == sorted(set(stops))
    assert all(0 < stop < steps for stop in stops)


def held_by_class_0(x_BCHW: Tensor) -> Tensor:
    """Logits of a winding loss of which class 0's is always the largest."""
    return torch.tanh(convolutional_model()(x_BCHW)) + 2.5 * torch.eye(NUM_CLASSES)[0]


def algorithm_1(x_1CHW: Tensor, epsilon: float, steps: int, seed: int) -> Tensor:
    """Auto-PGD of one image as the paper prints it, with nothing batched, stopped or left out."""

    def value(z_1CHW: Tensor) -> tuple[float, Tensor]:
        leaf = z_1CHW.clone().requires_grad_()
        loss = cross_entropy(held_by_class_0(leaf), torch.tensor([0])).sum()
        return loss.item(), torch.autograd.grad(loss, leaf)[0]

    noise = torch.rand(x_1CHW.shape, generator=torch.Generator().manual_seed(seed))
    now, size = project(x_1CHW + (2 * noise - 1) * epsilon, x_1CHW, epsilon), 2 * epsilon
    loss, slope = value(now)
    before, best, best_loss, best_slope = now, now, loss, slope
    last, best_at_last, was_halved, rises = 0, loss, False, 0
    for step in range(1, steps + 1):
        z_1CHW = project(now + size * slope.sign(), x_1CHW, epsilon)
        if step > 1:
            z_1CHW = project(now + 0.75 * (z_1CHW - now) + 0.25 * (now - before), x_1CHW, epsilon)
        before, now, old_loss = now, z_1CHW, loss
        loss, slope = value(now)
        rises += loss > old_loss
        if loss > best_loss:
            best, best_loss, best_slope = now, loss, slope
        if step in checkpoints(steps):
            was_halved = rises < 0.75 * (step - last) or (not was_halved and best_loss == best_at_last)
            if was_halved:
                size, now, slope, loss = size / 2, best, best_slope, best_loss
            last, best_at_last, rises = step, best_loss, 0
    return best


@pytest.mark.parametrize("seed", range(4))
def test_it_is_algorithm_1_step_by_step(seed: int) -> None:
    x_1CHW, y_1 = mild_images(1, seed=seed), torch.tensor([0])
    attacked = APGDCE(epsilon=0.2, steps=60, seed=seed)(held_by_class_0, x_1CHW, y_1)
    assert torch.equal(attacked.images_BCHW, algorithm_1(x_1CHW, 0.2, 60, seed))


def test_a_step_is_halved_by_either_of_the_papers_conditions() -> None:
    zero_B, zero_BCHW = torch.zeros(4), torch.zeros(4, 3, 1, 1)
    floats = dict.fromkeys(("rows_B", "y_B", "target_B", "loss_B"), zero_B)
    images = dict.fromkeys(("x_BCHW", "a_BCHW", "previous_BCHW", "gradient_BCHW"), zero_BCHW)
    state = _State(
        **floats, **images, best_BCHW=zero_BCHW + 7, best_gradient_BCHW=zero_BCHW + 8,
        step_B111=torch.ones(4, 1, 1, 1), num_rises_B=torch.tensor([8, 7, 8, 8]),
        best_loss_B=torch.tensor([2.0, 2.0, 1.0, 1.0]), checkpoint_loss_B=torch.ones(4),
        was_halved_B=torch.tensor([False, False, False, True]),
    )  # fmt: skip
    _halve_where_stuck(state, 10)
    # It rose often and found better; rose too rarely; found nothing better; nor did this one, but its step was new.
    is_halved_B = torch.tensor([False, True, True, False])
    assert torch.equal(state.step_B111.flatten() == 0.5, is_halved_B)
    assert torch.equal(state.was_halved_B, is_halved_B)
    assert torch.equal(state.a_BCHW[:, 0, 0, 0] == 7, is_halved_B)
    assert torch.equal(state.gradient_BCHW[:, 0, 0, 0] == 8, is_halved_B)
    assert torch.equal(state.checkpoint_loss_B, state.best_loss_B)
    assert state.num_rises_B.eq(0).all()


def test_on_a_loss_that_swings_about_its_peak_the_step_shrinks_onto_it() -> None:
    target_BCHW = mild_images(4, seed=1)

    def peaked(x_BCHW: Tensor) -> Tensor:
        """Logits whose cross-entropy of class 0 is largest at the target; class 0 always wins."""
        near_B = -(x_BCHW - target_BCHW).flatten(1).square().sum(1)
        return torch.stack([torch.full_like(near_B, 1.0), near_B], dim=1)

    x_BCHW, y_B = target_BCHW + 0.01, torch.zeros(4, dtype=torch.int64)
    adaptive = APGDCE(epsilon=0.1, steps=100)(peaked, x_BCHW, y_B).images_BCHW
    fixed = PGD(epsilon=0.1, steps=100)(peaked, x_BCHW, y_B).images_BCHW
    assert (adaptive - target_BCHW).abs().max() < 4e-3
    assert (fixed - target_BCHW).abs().max() > 1e-2


@pytest.mark.parametrize("steps", [1, 10, 30])
def test_an_image_that_holds_costs_every_step_and_two_queries_more(steps: int) -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    y_B = model(x_BCHW).argmax(1)
    attacked = APGDCE(epsilon=1e-4, steps=steps)(model, x_BCHW, y_B)
    assert attacked.gradients_B.tolist() == [steps] * 3
    assert attacked.queries_B.tolist() == [1 + steps + 1] * 3
    targeted = APGDT(epsilon=1e-4, steps=steps)(model, x_BCHW, y_B)
    assert targeted.gradients_B.tolist() == [(NUM_CLASSES - 1) * steps] * 3
    assert targeted.queries_B.tolist() == [1 + (NUM_CLASSES - 1) * (steps + 1)] * 3


def test_stopping_early_changes_the_cost_and_not_the_success() -> None:
    model, x_BCHW = convolutional_model(), mild_images(32)
    y_B = model(x_BCHW).argmax(1)
    early, whole = (APGDCE(epsilon=0.01, steps=20, stops_early=stops)(model, x_BCHW, y_B) for stops in (True, False))
    assert 0 < int(early.is_fooled_B.sum()) < 32
    assert torch.equal(early.is_fooled_B, whole.is_fooled_B)
    assert early.gradients_B.sum() < whole.gradients_B.sum()
    fooled = early.is_fooled_B
    losses = [cross_entropy(model(attacked.images_BCHW[fooled]), y_B[fooled]).mean() for attacked in (early, whole)]
    assert losses[0] < losses[1]


def test_images_wrong_from_the_start_cost_one_query_and_stay() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    y_B = (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES
    for attack in (APGDCE(), APGDT()):
        attacked = attack(model, x_BCHW, y_B)
        assert torch.equal(attacked.images_BCHW, x_BCHW)
        assert attacked.queries_B.tolist() == [1, 1, 1]


def test_fewer_targets_than_asked_for_are_all_the_wrong_classes() -> None:
    logits_BK = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 4.0]])
    y_B = torch.tensor([0, 3])
    assert likeliest_others(logits_BK, y_B, 9).tolist() == [[2, 1, 3], [1, 2, 0]]
    assert likeliest_others(logits_BK, y_B, 1).tolist() == [[2], [1]]


def test_the_targeted_ratio_is_the_formula_and_no_scale_changes_it() -> None:
    logits_BK = torch.tensor([[5.0, 3.0, 2.0, 1.0, -7.0]])
    loss = partial(targeted_dlr, y_B=torch.tensor([0]), target_B=torch.tensor([2]))
    torch.testing.assert_close(loss(logits_BK), torch.tensor([-(5.0 - 2.0) / (5.0 - (2.0 + 1.0) / 2)]))
    torch.testing.assert_close(loss(100 * logits_BK + 3), loss(logits_BK))


def test_apgd_t_of_three_classes_is_refused_and_says_what_works() -> None:
    model, x_BCHW = linear_model(3), mild_images(2)
    with pytest.raises(ConfigError, match=r"expected four classes or more.*got 3; use APGDCE, FABT and Square"):
        APGDT()(model, x_BCHW, model(x_BCHW).argmax(1))


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        (APGDCE, {"steps": 0}, "at least one step, got 0"),
        (APGDCE, {"restarts": 0}, "at least one start, got 0"),
        (APGDT, {"num_targets": 0}, "at least one target, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(attack: type[LinfAttack], options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        attack(**options)  # type: ignore[arg-type]
