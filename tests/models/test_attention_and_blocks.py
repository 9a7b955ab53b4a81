"""CAM attention, AdaLIN and the other norms, each against the formula or against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from capgan_edge.models.attention import AttentionName, CamAttention
from capgan_edge.models.blocks import AdaLIN, InstanceNorm, NormName, ResidualBlock, make_conv, make_norm


def weights_of(attention: CamAttention) -> list[torch.Tensor]:
    heads = [attention.average_head, attention.max_head]
    return [head.weight[0].detach() for head in heads if head is not None and isinstance(head.weight, torch.Tensor)]


def test_the_heat_map_is_the_sum_of_weights_times_maps() -> None:
    torch.manual_seed(0)
    attention, e_BCHW = CamAttention(5, pooling="gap"), torch.randn(2, 5, 4, 6)
    (w_C,) = weights_of(attention)
    by_hand = torch.zeros(2, 4, 6)
    for k in range(5):
        by_hand += w_C[k] * e_BCHW[:, k]
    attended = attention(e_BCHW)
    torch.testing.assert_close(attended.heat_map_BHW, by_hand)
    torch.testing.assert_close(attended.domain_logits_BJ[:, 0], by_hand.mean(dim=(1, 2)))  # GAP and the head commute


def test_gap_and_gmp_have_a_logit_and_weighted_maps_each() -> None:
    torch.manual_seed(0)
    attention, e_BCHW = CamAttention(5, pooling="gap+gmp"), torch.randn(2, 5, 4, 6)
    w_C, v_C = weights_of(attention)
    attended = attention(e_BCHW)
    expected = torch.stack([e_BCHW.mean(dim=(2, 3)) @ w_C, e_BCHW.amax(dim=(2, 3)) @ v_C], dim=1)
    torch.testing.assert_close(attended.domain_logits_BJ, expected)
    torch.testing.assert_close(attended.heat_map_BHW, torch.einsum("bchw,c->bhw", e_BCHW, w_C + v_C))


@pytest.mark.parametrize("pooling", ["gap", "gap+gmp"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_the_features_are_the_mixed_maps_behind_the_activation(pooling: AttentionName, slope: float) -> None:
    torch.manual_seed(0)
    attention, e_BCHW = CamAttention(5, pooling=pooling, negative_slope=slope), torch.randn(2, 5, 4, 6)
    weighted = torch.cat([e_BCHW * w_C[:, None, None] for w_C in weights_of(attention)], dim=1)
    mixed = F.conv2d(weighted, attention.mix.weight, attention.mix.bias)
    expected = torch.where(mixed > 0, mixed, slope * mixed)
    torch.testing.assert_close(attention(e_BCHW).features_BCHW, expected)


def adalin_with(rho: float, x_BCHW: torch.Tensor) -> torch.Tensor:
    norm = AdaLIN(x_BCHW.shape[1])
    norm.rho_C.data.fill_(rho)
    gamma_BC, beta_BC = torch.ones(x_BCHW.shape[:2]), torch.zeros(x_BCHW.shape[:2])
    out: torch.Tensor = norm(x_BCHW, gamma_BC, beta_BC)
    return out


@pytest.mark.parametrize("rho", [1.0, 1.7])
def test_adalin_with_rho_one_or_more_is_torchs_instance_norm(rho: float) -> None:
    x_BCHW = 3 * torch.randn(2, 5, 4, 6) + 1
    torch.testing.assert_close(adalin_with(rho, x_BCHW), F.instance_norm(x_BCHW), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rho", [0.0, -0.3])
def test_adalin_with_rho_zero_or_less_is_torchs_layer_norm(rho: float) -> None:
    x_BCHW = 3 * torch.randn(2, 5, 4, 6) + 1
    torch.testing.assert_close(adalin_with(rho, x_BCHW), F.layer_norm(x_BCHW, [5, 4, 6]), atol=1e-5, rtol=1e-4)


def test_adalin_mixes_and_then_scales_and_shifts_each_channel_of_each_image() -> None:
    x_BCHW, gamma_BC, beta_BC = torch.randn(2, 5, 4, 6), torch.randn(2, 5), torch.randn(2, 5)
    mixed = 0.9 * F.instance_norm(x_BCHW) + 0.1 * F.layer_norm(x_BCHW, [5, 4, 6])  # 0.9 is where rho starts
    expected = gamma_BC[:, :, None, None] * mixed + beta_BC[:, :, None, None]
    torch.testing.assert_close(AdaLIN(5)(x_BCHW, gamma_BC, beta_BC), expected, atol=1e-5, rtol=1e-4)


def test_instance_norm_is_torchs_and_computes_in_fp32_for_bf16() -> None:
    norm, x_BCHW = InstanceNorm(5), 100 * torch.randn(2, 5, 4, 6)
    norm.weight.data.uniform_(0.5, 2)
    torch.testing.assert_close(norm(x_BCHW), F.instance_norm(x_BCHW, weight=norm.weight, bias=norm.bias))
    half = norm(x_BCHW.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, norm(x_BCHW.bfloat16().float()).bfloat16())


@pytest.mark.parametrize(
    ("name", "kind"), [("batch", "BatchNorm2d"), ("none", "Identity"), ("instance", "InstanceNorm")]
)
def test_a_norm_is_made_by_its_name(name: NormName, kind: str) -> None:
    assert type(make_norm(name, 4)).__name__ == kind


@pytest.mark.parametrize("stride", [1, 2])
def test_reflected_and_zero_padding_agree_away_from_the_border(stride: int) -> None:
    torch.manual_seed(0)
    zeros, reflect = (make_conv(3, 4, 3, stride=stride, padding=name) for name in ("zeros", "reflect"))
    reflect[-1].load_state_dict(zeros[-1].state_dict())
    x_BCHW = torch.randn(1, 3, 8, 8)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(zeros(x_BCHW)[inner], reflect(x_BCHW)[inner])
    assert not torch.allclose(zeros(x_BCHW), reflect(x_BCHW))
    assert zeros(x_BCHW).shape == (1, 4, 8 // stride, 8 // stride)


def test_a_residual_block_adds_to_its_input() -> None:
    block = ResidualBlock(4, norm="none", padding="zeros")
    for parameter in block.parameters():
        parameter.data.zero_()
    x_BCHW = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x_BCHW), x_BCHW)
