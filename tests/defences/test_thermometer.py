"""The thermometer code and the victim on it: what it sees, what it hides, and that it exports."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from capgan_edge.attacks import PGD
from capgan_edge.defences.thermometer import ThermometerResNet, thermometer
from capgan_edge.errors import ConfigError
from capgan_edge.models.cost import cost_of
from capgan_edge.models.presets import purifier_from
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet, folded
from capgan_edge.models.victims import victim_from_module
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair


@pytest.fixture(scope="module")
def victim() -> ThermometerResNet:
    torch.manual_seed(0)
    return ThermometerResNet(4, units_per_stage=1).eval().requires_grad_(False)


def test_the_code_of_a_colour_is_one_up_to_its_level() -> None:
    thresholds_L11 = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(4, 1, 1)
    x_BCHW = torch.tensor([0.0, 0.24, 0.25, 0.6, 0.75, 1.0]).view(1, 1, 1, 6)
    code_LW = thermometer(x_BCHW, thresholds_L11)[0, :, 0]
    assert code_LW.sum(0).tolist() == [1, 1, 2, 3, 4, 4]
    assert code_LW[:, 3].tolist() == [1, 1, 1, 0]


def test_every_level_of_every_colour_has_a_channel_of_its_own(victim: ThermometerResNet) -> None:
    x_BCHW = torch.zeros(1, 3, 4, 4)
    x_BCHW[0, 1, 2, 3] = 9.5 / 16
    code_BCHW = victim.encoded(x_BCHW)
    assert code_BCHW.shape == (1, 48, 4, 4)
    lit = code_BCHW[0].sum(0) - 3  # the lowest level of each colour is always on
    assert (lit[2, 3].item(), lit.sum().item()) == (9, 9)
    assert code_BCHW[0, 16:32, 2, 3].tolist() == [1.0] * 10 + [0.0] * 6


def test_it_sees_nothing_finer_than_a_level(victim: ThermometerResNet) -> None:
    x_BCHW = torch.randint(0, 16, (2, 3, 32, 32)) / 16
    assert torch.equal(victim(x_BCHW + 0.9 / 16), victim(x_BCHW))


def test_its_gradient_is_zero_and_pgd_gets_no_further_than_its_random_start(victim: ThermometerResNet) -> None:
    x_BCHW, y_B = torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    leaf_BCHW = x_BCHW.clone().requires_grad_()
    (gradient_BCHW,) = torch.autograd.grad(victim(leaf_BCHW).square().sum(), leaf_BCHW)
    assert not bool(gradient_BCHW.any())
    one, many = (PGD(steps=steps, seed=3)(victim, x_BCHW, y_B).images_BCHW for steps in (1, 9))
    assert torch.equal(one, many)


def test_it_costs_a_wider_first_convolution_and_nothing_else() -> None:
    code, pixels = (cost_of(kind(10), height_px=32, width_px=32) for kind in (ThermometerResNet, SimpleResNet))
    assert code.macs - pixels.macs == 45 * 9 * 16 * 32 * 32
    assert code.parameters - pixels.parameters == 45 * 9 * 16


def test_its_weights_are_all_it_stores_and_it_folds(victim: ThermometerResNet) -> None:
    assert {name.split(".")[0] for name in victim.state_dict()} == {"stem", "units", "norm", "head"}
    x_BCHW = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(folded(victim)(x_BCHW), victim(x_BCHW), rtol=1e-3, atol=1e-4)


def test_it_exports_behind_a_purifier(victim: ThermometerResNet) -> None:
    held = victim_from_module(victim, {"kind": "thermometer-resnet", "name": "tiny"}, size_px=(16, 16))
    shape = PurifierConfig(ngf=2, num_blocks=0, end_kernel_px=3, norm="batch", padding="zeros", output="residual")
    purifier = purifier_from(shape).eval()  # starts as the identity: the victim sees the frames themselves
    graph = graph_from_pair(purifier, held, size_px=(16, 16), outputs=GraphOutputs(), properties={})
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    with OrtRunner(graph, providers=("CPUExecutionProvider",), threads=1) as runner:
        logits_NK = runner(frames_NHWC).logits_NK
    expected_NK = victim(torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(logits_NK, expected_NK, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 257])
def test_levels_out_of_range_are_refused(levels: int) -> None:
    with pytest.raises(ConfigError, match=rf"expected levels in \[2, 256\], got {levels}"):
        ThermometerResNet(4, levels=levels)
