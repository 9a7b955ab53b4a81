"""The victim, and its twin whose norms are folded away."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capgan_edge.models.victim import PreActivationUnit, SimpleResNet, folded


def victim_with_statistics() -> SimpleResNet:
    """Return a victim whose norms are not the identity."""
    torch.manual_seed(0)
    victim = SimpleResNet(7, units_per_stage=2)
    for module in victim.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            module.get_buffer("running_mean").uniform_(-1, 1)
            module.get_buffer("running_var").uniform_(0.5, 2)
    return victim


def test_the_folded_victim_is_the_same_function_and_leaves_the_victim_alone() -> None:
    victim, x_BCHW = victim_with_statistics(), torch.rand(4, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in victim.state_dict().items()}
    twin = folded(victim)
    assert victim.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in victim.state_dict().items())
    assert not any(isinstance(unit.norm2, nn.BatchNorm2d) for unit in twin.units if isinstance(unit, PreActivationUnit))
    assert not any(p.requires_grad for p in twin.parameters())
    torch.testing.assert_close(twin(x_BCHW), victim.eval()(x_BCHW), atol=1e-4, rtol=1e-4)


def test_the_folded_trained_victim_labels_as_the_trained_one(trained: tuple[SimpleResNet, Tensor, Tensor]) -> None:
    model, x_NCHW, _ = trained
    twin = folded(model)
    torch.testing.assert_close(twin(x_NCHW[:16]), model(x_NCHW[:16]), atol=1e-3, rtol=1e-3)
    assert torch.equal(folded(twin)(x_NCHW[:4]), twin(x_NCHW[:4]))


def test_normalisation_is_inside_the_victim() -> None:
    torch.manual_seed(0)
    plain, shifted = (SimpleResNet(3, units_per_stage=1).eval() for _ in range(2))
    shifted.load_state_dict(plain.state_dict())
    plain.mean_C.fill_(0.0)
    plain.std_C.fill_(1.0)
    x_BCHW = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(shifted(x_BCHW), plain((x_BCHW - 0.47) / 0.25))
    assert {"mean_C", "std_C"} <= shifted.state_dict().keys()  # they travel with the weights


def test_a_shortcut_pools_and_pads_channels_on_both_sides() -> None:
    unit = PreActivationUnit(2, 4, 2)
    nn.init.zeros_(unit.conv2.weight)
    x_BCHW = torch.randn(1, 2, 4, 4)
    out_BCHW = unit.eval()(x_BCHW)
    torch.testing.assert_close(out_BCHW[:, 1:3], F.avg_pool2d(x_BCHW, 2))
    assert out_BCHW[:, [0, 3]].abs().max() == 0


@pytest.mark.parametrize(("height_px", "width_px"), [(32, 32), (8, 12), (64, 16)])
def test_the_victim_takes_any_multiple_of_four(height_px: int, width_px: int) -> None:
    assert SimpleResNet(5, units_per_stage=1)(torch.rand(2, 3, height_px, width_px)).shape == (2, 5)
