"""What purifiers are built of: padded convolutions, the choice of norms, residual blocks.

AdaLIN and the blocks follow U-GAT-IT (arXiv 1907.10830, Section 2.1.1 and Appendix), which Section III-B of the paper
names as the source of its generator. Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NormName = Literal["adalin", "instance", "batch", "none"]
PaddingName = Literal["reflect", "zeros"]


class InstanceNorm(nn.Module):
    """Instance normalisation with affine parameters, in FP32 under autocast (squares overflow in half precision)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.instance_norm(x_BCHW.float(), weight=self.weight, bias=self.bias, eps=self.eps).to(x_BCHW.dtype)


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: rho mixes instance and layer statistics, gamma and beta are given."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.rho_C = nn.Parameter(torch.full((channels,), 0.9))

    def forward(self, x_BCHW: Tensor, gamma_BC: Tensor, beta_BC: Tensor) -> Tensor:
        h_BCHW = x_BCHW.float()
        by_instance = _standardised(h_BCHW, (2, 3), self.eps)
        by_layer = _standardised(h_BCHW, (1, 2, 3), self.eps)
        rho_C11 = self.rho_C.clamp(0, 1)[:, None, None]
        mixed_BCHW = rho_C11 * by_instance + (1 - rho_C11) * by_layer
        return (gamma_BC[:, :, None, None] * mixed_BCHW + beta_BC[:, :, None, None]).to(x_BCHW.dtype)


def _standardised(x_BCHW: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    mean = x_BCHW.mean(dim=dims, keepdim=True)
    centred_BCHW = x_BCHW - mean
    variance = (centred_BCHW * centred_BCHW).mean(dim=dims, keepdim=True)
    return centred_BCHW * torch.rsqrt(variance + eps)


def make_norm(name: NormName, channels: int) -> nn.Module:
    """Return a norm that needs nothing but its input; AdaLIN is made by the block that has its gamma and beta."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "none":
        return nn.Identity()
    return InstanceNorm(channels)


def make_conv(in_channels: int, out_channels: int, kernel_px: int, *, stride: int = 1, padding: PaddingName,
              has_bias: bool = False) -> nn.Sequential:  # fmt: skip
    """Return a convolution that keeps the size (or halves it), with the padding as a layer of its own if reflected."""
    pad_px = kernel_px // 2
    if padding == "zeros":
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_px, stride, pad_px, bias=has_bias))
    conv = nn.Conv2d(in_channels, out_channels, kernel_px, stride, 0, bias=has_bias)
    return nn.Sequential(nn.ReflectionPad2d(pad_px), conv)


class ConvNormAct(nn.Module):
    """Convolution, norm, ReLU; a convolution without a norm behind it has a bias."""

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int, *, norm: NormName, padding: PaddingName,
                 stride: int = 1, upsampling: int = 1) -> None:  # fmt: skip
        super().__init__()
        self.upsampling = upsampling
        self.conv = make_conv(in_channels, out_channels, kernel_px, stride=stride, padding=padding,
                              has_bias=norm == "none")  # fmt: skip
        self.norm = make_norm(norm, out_channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.upsampling > 1:
            x_BCHW = F.interpolate(x_BCHW, scale_factor=float(self.upsampling), mode="nearest")
        return F.relu(self.norm(self.conv(x_BCHW)))


class ResidualBlock(nn.Module):
    """conv, norm, ReLU, conv, norm, added to the input."""

    def __init__(self, channels: int, *, norm: NormName, padding: PaddingName) -> None:
        super().__init__()
        self.conv1 = make_conv(channels, channels, 3, padding=padding, has_bias=norm == "none")
        self.norm1 = make_norm(norm, channels)
        self.conv2 = make_conv(channels, channels, 3, padding=padding, has_bias=norm == "none")
        self.norm2 = make_norm(norm, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = F.relu(self.norm1(self.conv1(x_BCHW)))
        out_BCHW: Tensor = x_BCHW + self.norm2(self.conv2(h_BCHW))
        return out_BCHW


class AdaptiveResidualBlock(nn.Module):
    """A residual block whose norms are AdaLIN, with gamma and beta from outside."""

    def __init__(self, channels: int, *, padding: PaddingName) -> None:
        super().__init__()
        self.conv1 = make_conv(channels, channels, 3, padding=padding)
        self.norm1 = AdaLIN(channels)
        self.conv2 = make_conv(channels, channels, 3, padding=padding)
        self.norm2 = AdaLIN(channels)

    def forward(self, x_BCHW: Tensor, gamma_BC: Tensor, beta_BC: Tensor) -> Tensor:
        h_BCHW = F.relu(self.norm1(self.conv1(x_BCHW), gamma_BC, beta_BC))
        out_BCHW: Tensor = x_BCHW + self.norm2(self.conv2(h_BCHW), gamma_BC, beta_BC)
        return out_BCHW
