"""CW: kappa is enforced and counted, what fools by less is kept, c is searched, the mean distance is always there."""

from __future__ import annotations

import pytest
import torch
from tiny_models import convolutional_model, linear_model, mild_images

from capgan_edge.attacks import CWL2
from capgan_edge.attacks.losses import other_minus_true
from capgan_edge.errors import ConfigError


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_it_is_adam_on_the_papers_loss(kappa: float) -> None:
    model, x_BCHW, steps = convolutional_model(), mild_images(8), 40
    y_B = model(x_BCHW).argmax(1)
    w_BCHW = torch.atanh((2 * x_BCHW - 1) * (1 - 1e-6)).requires_grad_()
    optimizer = torch.optim.Adam([w_BCHW], lr=0.01)
    best_BCHW, best_l2_B = x_BCHW.clone(), torch.full((8,), torch.inf)
    for _ in range(steps):
        a_BCHW = (torch.tanh(w_BCHW) + 1) / 2
        margin_B = other_minus_true(model(a_BCHW), y_B)
        l2_B = (a_BCHW - x_BCHW).flatten(1).norm(dim=1).detach()
        is_better_B = (margin_B >= kappa) & (l2_B < best_l2_B)
        best_BCHW[is_better_B], best_l2_B[is_better_B] = a_BCHW[is_better_B].detach(), l2_B[is_better_B]
        loss = (a_BCHW - x_BCHW).square().sum() + 5 * torch.clamp(kappa - margin_B, min=0).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    attacked = CWL2(kappa=kappa, c=5.0, steps=steps, stops_early=False)(model, x_BCHW, y_B)
    is_enough_B = attacked.is_enough_B
    assert is_enough_B.any()
    assert torch.equal(is_enough_B, best_l2_B.isfinite())
    torch.testing.assert_close(attacked.images_BCHW[is_enough_B], best_BCHW[is_enough_B], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 2.0])
def test_kappa_is_enforced_where_it_is_counted(kappa: float) -> None:
    model, x_BCHW = convolutional_model(), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    attacked = CWL2(kappa=kappa, c=1.0, search_steps=3, steps=100)(model, x_BCHW, y_B)
    margin_B = other_minus_true(model(attacked.images_BCHW), y_B)
    assert int(attacked.is_enough_B.sum()) >= 6
    assert torch.equal(attacked.is_enough_B, margin_B >= kappa - 1e-4)
    assert (attacked.is_fooled_B >= attacked.is_enough_B).all()


def test_an_image_that_fools_by_less_than_kappa_comes_back_and_is_counted_apart() -> None:
    model, x_BCHW = linear_model(2), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    timid = CWL2(kappa=0, c=1.0, steps=200)(model, x_BCHW, y_B)
    bold = CWL2(kappa=20, c=1.0, steps=200)(model, x_BCHW, y_B)
    assert timid.is_fooled_B.sum() >= 8
    assert torch.equal(timid.is_enough_B, timid.is_fooled_B)
    assert (bold.is_fooled_B | ~timid.is_fooled_B).all()  # asking for more fools no fewer
    assert not bold.is_enough_B.any()
    margins_B = [other_minus_true(model(each.images_BCHW), y_B) for each in (bold, timid)]
    assert (margins_B[0] > margins_B[1])[timid.is_fooled_B].all()
    assert bold.mean_l2 > timid.mean_l2


def test_an_image_that_nothing_fools_comes_back_where_it_was_nearest_to_it() -> None:
    model, x_BCHW = linear_model(2), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    attacked = CWL2(kappa=0, c=0.05, steps=100)(model, x_BCHW, y_B)
    assert not attacked.is_fooled_B.all()
    assert (other_minus_true(model(attacked.images_BCHW), y_B) > other_minus_true(model(x_BCHW), y_B)).all()
    never = CWL2(kappa=1000, steps=5)(model, x_BCHW, y_B)
    assert not never.is_enough_B.any()


class _Rising:
    """A model whose loss rises once on the way, as a defence's does past which gradients are taken (BPDA)."""

    def __init__(self, model: torch.nn.Module, *, at_call: int) -> None:
        self._model, self._at_call, self._num_calls = model, at_call, 0

    def __call__(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        self._num_calls += 1
        return self._model(x_BCHW) * (10.0 if self._num_calls == self._at_call else 1.0)  # type: ignore[no-any-return]


def test_an_image_that_has_not_reached_kappa_is_not_left_early_when_its_loss_rises() -> None:
    model, x_BCHW = linear_model(2), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    attacked = CWL2(c=10.0, steps=100)(_Rising(model, at_call=11), x_BCHW, y_B)  # looks at every tenth step
    assert attacked.is_fooled_B.all()
    assert attacked.queries_B.min() > 11
    beyond = CWL2(kappa=1000, c=2.0, steps=50)(_Rising(model, at_call=6), x_BCHW, y_B)
    assert beyond.queries_B.tolist() == [50] * 12


def test_more_confidence_is_farther_away() -> None:
    model, x_BCHW = convolutional_model(), mild_images(8)
    y_B = model(x_BCHW).argmax(1)
    means = [CWL2(kappa=k, c=10.0, steps=200)(model, x_BCHW, y_B).mean_l2 for k in (0.0, 1.0, 3.0)]
    assert means == sorted(means)
    assert means[2] > 1.5 * means[0]


def test_the_search_reaches_where_a_fixed_c_does_not_and_comes_nearer_where_it_is_too_large() -> None:
    model, x_BCHW = linear_model(5), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    small = CWL2(c=1e-2, steps=200)(model, x_BCHW, y_B)
    large = CWL2(c=1e4, steps=200)(model, x_BCHW, y_B)
    searched = CWL2(c=1e-2, search_steps=7, steps=200)(model, x_BCHW, y_B)
    assert small.is_fooled_B.sum() <= 4
    assert large.is_fooled_B.all()
    assert searched.is_fooled_B.all()
    assert searched.mean_l2 < large.mean_l2


def test_the_mean_distance_is_of_the_images_that_fool() -> None:
    model, x_BCHW = linear_model(2), mild_images(12)
    y_B = model(x_BCHW).argmax(1)
    attacked = CWL2(c=0.2, steps=200)(model, x_BCHW, y_B)
    assert 0 < attacked.is_fooled_B.sum() < 12
    l2_B = (attacked.images_BCHW - x_BCHW).flatten(1).norm(dim=1)
    torch.testing.assert_close(attacked.l2_B, l2_B)
    assert attacked.mean_l2 == pytest.approx(float(l2_B[attacked.is_fooled_B].mean()))


def test_without_an_early_stop_every_step_of_every_search_is_a_gradient() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    attacked = CWL2(steps=20, search_steps=3, stops_early=False)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert attacked.gradients_B.tolist() == attacked.queries_B.tolist() == [60] * 3


def test_an_early_stop_saves_steps_of_images_that_have_settled_and_costs_next_to_no_distance() -> None:
    model, x_BCHW = linear_model(2), mild_images(8)
    y_B = model(x_BCHW).argmax(1)
    whole, early = (CWL2(steps=600, c=2.0, stops_early=stops)(model, x_BCHW, y_B) for stops in (False, True))
    assert early.gradients_B.sum() < 0.8 * whole.gradients_B.sum()
    assert torch.equal(early.is_fooled_B, whole.is_fooled_B)
    assert early.mean_l2 <= 1.02 * whole.mean_l2


def test_black_and_white_pixels_stay_finite() -> None:
    model, x_BCHW = linear_model(), torch.rand(4, 3, 4, 6).round()
    images_BCHW = CWL2(steps=30)(model, x_BCHW, model(x_BCHW).argmax(1)).images_BCHW
    assert images_BCHW.isfinite().all()
    assert images_BCHW.min() >= 0
    assert images_BCHW.max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": -1.0}, "expected kappa of 0 or more, got -1.0"),
        ({"c": 0.0}, "expected c above 0, got 0.0"),
        ({"c": float("nan")}, "expected c above 0, got nan"),
        ({"learning_rate": 0.0}, "expected learning_rate above 0"),
        ({"steps": 0}, "at least one step, got 0"),
        ({"search_steps": 0}, "at least one search step, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CWL2(**options)  # type: ignore[arg-type]
