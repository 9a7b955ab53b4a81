"""The networks of two other purifiers, with random weights: for their latency alone. Shapes: B, C, H, W as ever.

HGD: Liao et al., Defense against Adversarial Attacks Using High-Level Representation Guided Denoiser (arXiv
1712.02976), section 3.2: a U-net of blocks of 3x3 convolutions, batch norm and ReLU that predicts the perturbation.
APE-GAN: Shen et al., APE-GAN: Adversarial Perturbation Elimination with GAN (arXiv 1707.05474), its generator: two
strided convolutions and two transposed ones.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _block(in_channels: int, out_channels: int, num_convs: int, *, is_halving: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(num_convs):
        stride = 2 if is_halving and index == 0 else 1
        layers += [nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels),
                   nn.ReLU(inplace=True)]  # fmt: skip
        in_channels = out_channels
    return nn.Sequential(*layers)


class HgdDenoiser(nn.Module):
    """The denoising U-net (DUNET): float32 [B, 3, H, W] with H and W multiples of 16, to the same."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 128, 256, 256, 256)
        self.down = nn.ModuleList([_block(3, widths[0], 2)])
        for before, after in pairwise(widths):
            self.down.append(_block(before, after, 3, is_halving=True))
        self.up = nn.ModuleList(
            [_block(256 + 256, 256, 3), _block(256 + 256, 256, 3), _block(256 + 128, 128, 3), _block(128 + 64, 64, 2)]
        )
        self.last = nn.Conv2d(64, 3, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        held, h_BCHW = [], x_BCHW
        for block in self.down:
            h_BCHW = block(h_BCHW)
            held.append(h_BCHW)
        for block, lateral_BCHW in zip(self.up, reversed(held[:-1]), strict=True):
            wide_BCHW = F.interpolate(h_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)
            h_BCHW = block(torch.cat([wide_BCHW, lateral_BCHW], dim=1))
        image_BCHW: Tensor = x_BCHW - self.last(h_BCHW)
        return image_BCHW


class ApeGanGenerator(nn.Module):
    """The generator: float32 [B, 3, H, W] in [0, 1] with H and W multiples of 4, to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x_BCHW: Tensor) -> Tensor:
        image_BCHW: Tensor = self.layers(x_BCHW)
        return image_BCHW
