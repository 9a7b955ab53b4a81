"""Fooling and silent at once: the promises of every attack, and what the suspicion makes of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import HEIGHT_PX, NUM_CLASSES, WIDTH_PX, convolutional_model, linear_model, mild_images
from torch import Tensor, nn

from capgan_edge.attacks import PGD, StealthyPGD, Watched
from capgan_edge.errors import ConfigError, DataError


def suspicion_of(x_BCHW: Tensor) -> Tensor:
    """Return a suspicion that grows with contrast between neighbours, as noise does, and far steeper than logits."""
    return 1000 * (x_BCHW[..., 1:] - x_BCHW[..., :-1]).pow(2).mean(dim=(1, 2, 3))


def watched(model: nn.Module) -> Watched:
    return Watched(lambda x_BCHW: (model(x_BCHW), suspicion_of(x_BCHW)))


@settings(max_examples=20, deadline=None)
@given(epsilon=st.floats(0, 1), seed=st.integers(0, 2**31), num=st.integers(1, 3), steps=st.integers(1, 4))
def test_it_never_leaves_the_ball_or_the_range_and_counts_what_it_asks(
    epsilon: float, seed: int, num: int, steps: int
) -> None:
    x_BCHW = torch.rand(num, 3, HEIGHT_PX, WIDTH_PX, generator=torch.Generator().manual_seed(seed))
    y_B, before = torch.zeros(num, dtype=torch.int64), x_BCHW.clone()
    attack = StealthyPGD(epsilon=epsilon, seed=seed, steps=steps, step_size=0.5)
    attacked = attack(watched(convolutional_model()), x_BCHW, y_B)
    assert (attacked.images_BCHW - x_BCHW).abs().max() <= epsilon + 1e-6
    assert attacked.images_BCHW.min() >= 0
    assert attacked.images_BCHW.max() <= 1
    assert attacked.gradients_B.tolist() == [2 * steps] * num
    assert attacked.queries_B.tolist() == [2 * steps + 1] * num
    assert torch.equal(x_BCHW, before)
    assert not any(part.requires_grad for part in attacked)


def test_the_seed_decides_and_torchs_global_one_neither_decides_nor_moves() -> None:
    model, x_BCHW = convolutional_model(), mild_images(4)
    y_B, images = model(x_BCHW).argmax(1), []
    for seed, global_seed in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        images.append(StealthyPGD(epsilon=0.1, steps=2, seed=seed)(watched(model), x_BCHW, y_B).images_BCHW)
        assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_success_is_of_the_label_alone_never_of_the_suspicion() -> None:
    model, x_BCHW = linear_model(), mild_images(48)
    y_B = model(x_BCHW).argmax(1)
    loud = Watched(lambda a_BCHW: (model(a_BCHW), 1e6 + suspicion_of(a_BCHW)))  # the last column is the largest
    attacked = StealthyPGD(epsilon=0.05)(loud, x_BCHW, y_B)
    assert torch.equal(attacked.is_fooled_B, model(attacked.images_BCHW).argmax(1) != y_B)
    assert 0 < int(attacked.is_fooled_B.sum()) < 48


def test_it_fools_as_many_as_pgd_and_is_far_less_suspicious_than_pgd_or_even_the_originals() -> None:
    model, x_BCHW = linear_model(), mild_images(64)
    y_B = model(x_BCHW).argmax(1)
    bold = PGD(epsilon=0.25)(model, x_BCHW, y_B)
    sly = StealthyPGD(epsilon=0.25)(watched(model), x_BCHW, y_B)
    assert bold.is_fooled_B.sum() >= 60
    assert sly.is_fooled_B.sum() >= bold.is_fooled_B.sum() - 2
    fooled_B = bold.is_fooled_B & sly.is_fooled_B
    quiet_B, loud_B, clean_B = (suspicion_of(each)[fooled_B] for each in (sly.images_BCHW, bold.images_BCHW, x_BCHW))
    assert (quiet_B < loud_B).all()
    assert (quiet_B < clean_B).float().mean() > 0.95


def test_an_image_that_fools_is_never_given_up_for_a_quieter_one_that_does_not() -> None:
    model, x_BCHW = linear_model(), mild_images(32)
    y_B = (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES  # wrong from the start
    attacked = StealthyPGD(epsilon=0.3, steps=20, emphasis=1e6)(watched(model), x_BCHW, y_B)
    assert attacked.is_fooled_B.all()
    assert (suspicion_of(attacked.images_BCHW) < suspicion_of(x_BCHW)).all()


def test_an_image_that_cannot_be_fooled_comes_back_where_it_came_nearest_to_it() -> None:
    model, x_BCHW = linear_model(), mild_images(16)
    y_B = model(x_BCHW).argmax(1)

    def lead_of(a_BCHW: Tensor) -> Tensor:
        logits_BK = model(a_BCHW)
        lead_B: Tensor = logits_BK.gather(1, y_B[:, None]).squeeze(1) - logits_BK.scatter(
            1, y_B[:, None], -torch.inf
        ).amax(1)
        return lead_B

    attacked = StealthyPGD(epsilon=0.005, emphasis=4)(watched(model), x_BCHW, y_B)
    held_B = ~attacked.is_fooled_B
    assert held_B.sum() >= 8
    assert (lead_of(attacked.images_BCHW) < lead_of(x_BCHW))[held_B].float().mean() > 0.8


def test_a_model_without_a_suspicion_is_refused_with_what_fits() -> None:
    with pytest.raises(ConfigError, match="Watched, or use PGD"):
        StealthyPGD()(linear_model(), mild_images(1), torch.tensor([0]))


def test_the_suspicions_column_is_no_class() -> None:
    with pytest.raises(DataError, match=f"labels below {NUM_CLASSES}, .* got {NUM_CLASSES}"):
        StealthyPGD()(watched(linear_model()), mild_images(1), torch.tensor([NUM_CLASSES]))


@pytest.mark.parametrize("broken", [{"steps": 0}, {"step_size": 0.0}, {"step_size": 1.5}, {"emphasis": 0.5},
                                    {"emphasis": float("nan")}, {"epsilon": 8.0}], ids=str)  # fmt: skip
def test_settings_out_of_range_are_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        StealthyPGD(**broken)  # type: ignore[arg-type]
