"""Madry's simple ResNet, the classifier of the paper's tables, with its normalisation inside.

Source: the `cifar10_challenge` model that Section IV-A of arXiv 2102.07304 follows: a 3x3 convolution to 16 channels,
three stages of five pre-activation units at 16, 32 and 64 channels, leaky ReLU 0.1, shortcuts by average pooling and
zero channels, global average pooling. 0.46 M parameters, 69 M multiply-accumulates at 32x32.
Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

NEGATIVE_SLOPE = 0.1
MAX_UNITS, MAX_CLASSES = 64, 1_000_000
"""What a file may ask for: more would be a mistake, or meant to exhaust the machine."""


class PreActivationUnit(nn.Module):
    """norm, act, conv, norm, act, conv, plus a shortcut without parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.channel_padding = (out_channels - in_channels) // 2
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = self.conv1(F.leaky_relu(self.norm1(x_BCHW), NEGATIVE_SLOPE))
        h_BCHW = self.conv2(F.leaky_relu(self.norm2(h_BCHW), NEGATIVE_SLOPE))
        if self.stride > 1:
            x_BCHW = F.avg_pool2d(x_BCHW, self.stride)
        if self.channel_padding:
            x_BCHW = F.pad(x_BCHW, (0, 0, 0, 0, self.channel_padding, self.channel_padding))
        out_BCHW: Tensor = x_BCHW + h_BCHW
        return out_BCHW


class SimpleResNet(nn.Module):
    """Classify float32 RGB in [0, 1], [B, 3, H, W] with H and W multiples of 4, into `num_classes` logits [B, K]."""

    mean_C: Tensor
    std_C: Tensor

    def __init__(self, num_classes: int = 10, *, units_per_stage: int = 5, input_channels: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.units_per_stage = units_per_stage
        self.register_buffer("mean_C", torch.full((3, 1, 1), 0.47))
        self.register_buffer("std_C", torch.full((3, 1, 1), 0.25))
        self.stem = nn.Conv2d(input_channels, 16, 3, 1, 1, bias=False)
        units: list[nn.Module] = []
        in_channels = 16
        for stage, out_channels in enumerate((16, 32, 64)):
            for unit in range(units_per_stage):
                units.append(PreActivationUnit(in_channels, out_channels, 2 if stage > 0 and unit == 0 else 1))
                in_channels = out_channels
        self.units = nn.Sequential(*units)
        self.norm = nn.BatchNorm2d(in_channels)
        self.head = nn.Linear(in_channels, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He-normal convolutions, as in the challenge's code."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def encoded(self, x_BCHW: Tensor) -> Tensor:
        """Return what the first convolution sees: the normalised images."""
        return (x_BCHW - self.mean_C) / self.std_C

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = self.units(self.stem(self.encoded(x_BCHW)))
        h_BC = F.leaky_relu(self.norm(h_BCHW), NEGATIVE_SLOPE).mean(dim=(2, 3))
        logits_BK: Tensor = self.head(h_BC)
        return logits_BK


def folded(victim: SimpleResNet) -> SimpleResNet:
    """Return a frozen copy in eval mode whose second norms are folded into the convolutions before them.

    The same function to rounding, about 1.4 times faster forward and backward on a CPU: purifier training evaluates
    the victim a dozen times an image.
    """
    twin = copy.deepcopy(victim).eval().requires_grad_(False)
    for unit in twin.units:
        assert isinstance(unit, PreActivationUnit)
        if isinstance(unit.norm2, nn.BatchNorm2d):
            unit.conv1 = fuse_conv_bn_eval(unit.conv1, unit.norm2)
            unit.norm2 = nn.Identity()
    return twin
