"""What the networks cost, against the figures of the paper and of Madry's challenge at 32x32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from capgan_edge.models.cost import Cost, cost_of
from capgan_edge.models.presets import PRESETS, preset
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.victim import SimpleResNet


def cost_of_preset(name: str) -> Cost:
    return cost_of(Purifier(preset(name)), height_px=32, width_px=32)


def test_the_cost_of_one_convolution_is_what_a_hand_counts() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1)
    assert cost_of(conv, height_px=10, width_px=6) == Cost(macs=10 * 6 * 8 * 3 * 9, parameters=8 * 3 * 9 + 8)


def test_counting_leaves_the_mode_of_the_module() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).train()
    running_mean = module[1].get_buffer("running_mean").clone()
    cost_of(module, height_px=8, width_px=8)
    assert module.training
    assert torch.equal(module[1].get_buffer("running_mean"), running_mean)


def test_the_papers_purifier_has_816_million_macs_and_10_5_million_parameters() -> None:
    cost = cost_of_preset("paper")
    assert cost.macs == pytest.approx(816e6, rel=0.03)
    assert cost.parameters == pytest.approx(10.5e6, rel=0.03)
    assert cost == Cost(macs=816_447_744, parameters=10_528_899)  # exactly what is built now


def test_the_victim_has_69_million_macs_and_0_46_million_parameters() -> None:
    cost = cost_of(SimpleResNet(10), height_px=32, width_px=32)
    assert cost.macs == pytest.approx(69e6, rel=0.03)
    assert cost.parameters == pytest.approx(0.46e6, rel=0.03)


def test_nano_costs_less_than_the_victim_and_small_lies_between_it_and_the_papers() -> None:
    victim = cost_of(SimpleResNet(10), height_px=32, width_px=32)
    nano, small, paper = (cost_of_preset(name) for name in ("nano", "small", "paper"))
    assert nano.macs < victim.macs < small.macs < paper.macs
    assert nano.parameters < victim.parameters < small.parameters < paper.parameters


def test_the_presets_are_cap_gans_the_robust_ones_and_those_of_other_defences() -> None:
    others = {"ape-gan", "hgd-paper", "hgd-small", "hgd-nano"}
    robust = {"robust-nano", "robust-nano-maps", "robust-nano-prototypes", "robust-nano-deep", "robust-small"}
    assert set(PRESETS) == {"paper", "small", "nano"} | robust | others
