"""The adversarial domain: FGSM images of one size, or each of a size of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric

from capgan_edge.attacks import FGSM
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.pairs import fgsm_pair

CONFIG = CapGanConfig(smallest_epsilon=2 / 255)
BATCH = 64


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Images half-way between black and white, where no perturbation is clipped, and labels."""
    torch.manual_seed(0)
    return 0.4 + 0.2 * torch.rand(BATCH, 3, 32, 32), torch.randint(20, (BATCH,))


def sizes(a_BCHW: torch.Tensor, x_BCHW: torch.Tensor) -> torch.Tensor:
    return (a_BCHW - x_BCHW).abs().flatten(1).amax(1)


def test_one_size_is_fgsm(images: tuple[torch.Tensor, torch.Tensor], tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    x_BCHW, y_B = images
    pair = fgsm_pair(tiny_victim, x_BCHW, y_B, CapGanConfig(), fabric)
    torch.testing.assert_close(pair.a_BCHW, FGSM(epsilon=8 / 255)(tiny_victim, x_BCHW, y_B).images_BCHW)


def test_sizes_fill_the_range_and_the_direction_is_that_of_fgsm(
    images: tuple[torch.Tensor, torch.Tensor], tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    x_BCHW, y_B = images
    pair = fgsm_pair(tiny_victim, x_BCHW, y_B, CONFIG, fabric)
    found_B = sizes(pair.a_BCHW, x_BCHW)
    assert 2 / 255 - 1e-6 <= found_B.min() < 3 / 255
    assert 7 / 255 < found_B.max() <= 8 / 255 + 1e-6
    assert found_B.mean() == pytest.approx(5 / 255, abs=1 / 255)
    of_one_size = FGSM(epsilon=8 / 255)(tiny_victim, x_BCHW, y_B).images_BCHW - x_BCHW
    torch.testing.assert_close((pair.a_BCHW - x_BCHW).sign(), of_one_size.sign())
    torch.testing.assert_close(pair.x_logits_BK, tiny_victim(x_BCHW))


def test_the_same_seed_draws_the_same_sizes_and_another_call_others(
    images: tuple[torch.Tensor, torch.Tensor], tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    x_BCHW, y_B = images
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append([fgsm_pair(tiny_victim, x_BCHW, y_B, CONFIG, fabric).a_BCHW for _ in range(2)])
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0][0], drawn[2][0])


def test_equal_ends_are_one_size(
    images: tuple[torch.Tensor, torch.Tensor], tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    x_BCHW, y_B = images
    pair = fgsm_pair(tiny_victim, x_BCHW, y_B, replace(CONFIG, smallest_epsilon=8 / 255), fabric)
    torch.testing.assert_close(sizes(pair.a_BCHW, x_BCHW), torch.full((BATCH,), 8 / 255))
