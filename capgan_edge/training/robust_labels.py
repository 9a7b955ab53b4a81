"""Soft labels: smoothed, and mixed where CutMix pastes a box of one image into another.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_labels(y_B: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return the labels as shares, `smoothing` of each spread evenly over all classes."""
    return F.one_hot(y_B, num_classes).float() * (1 - smoothing) + smoothing / num_classes


def cutmix(x_BCHW: Tensor, targets_BK: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste one box, of an area drawn evenly, from each image's neighbour in a random order, and mix their labels."""
    B, _, H, W = x_BCHW.shape
    other_B = torch.randperm(B, generator=generator)
    side = float(torch.rand((), generator=generator)) ** 0.5
    height_px, width_px = round(side * H), round(side * W)
    top = int(torch.randint(H - height_px + 1, (), generator=generator))
    left = int(torch.randint(W - width_px + 1, (), generator=generator))
    rows, columns = slice(top, top + height_px), slice(left, left + width_px)
    mixed_BCHW = x_BCHW.clone()
    mixed_BCHW[:, :, rows, columns] = x_BCHW[other_B][:, :, rows, columns]
    share = height_px * width_px / (H * W)
    return mixed_BCHW, (1 - share) * targets_BK + share * targets_BK[other_B]
