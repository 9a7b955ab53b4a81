"""Classifiers of a few parameters for which an attack takes milliseconds, and what is known of them in closed form."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

NUM_CLASSES, HEIGHT_PX, WIDTH_PX = 5, 4, 6


def linear_model(num_classes: int = NUM_CLASSES, *, seed: int = 0) -> nn.Sequential:
    """Return a frozen linear classifier of 4x6 images."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * HEIGHT_PX * WIDTH_PX, num_classes)).requires_grad_(False)


def convolutional_model(*, seed: int = 0) -> nn.Sequential:
    """Return a frozen random net of one convolution, steep enough that its labels change within a few 255ths."""
    torch.manual_seed(seed)
    convolution, head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * HEIGHT_PX * WIDTH_PX, NUM_CLASSES)
    with torch.no_grad():
        for parameter in itertools.chain(convolution.parameters(), head.parameters()):
            parameter.mul_(3)
    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), head).requires_grad_(False)


def mild_images(n: int, *, seed: int = 0) -> Tensor:
    """Return images in [0.3, 0.7], which no perturbation of less than 0.3 takes to the ends of the range."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 + 0.4 * torch.rand(n, 3, HEIGHT_PX, WIDTH_PX, generator=generator)


def nearest_boundary(model: nn.Sequential, x_BCHW: Tensor, y_B: Tensor, *, dual_norm: float) -> Tensor:
    """Return each image's distance from the nearest wrong class of a linear model: the gap over the dual norm."""
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    logits_BK = model(x_BCHW)
    gap_BK = logits_BK.gather(1, y_B[:, None]) - logits_BK
    slope_BKP = layer.weight[None] - layer.weight[y_B][:, None]
    distance_BK = gap_BK / slope_BKP.norm(p=dual_norm, dim=2)
    return distance_BK.scatter(1, y_B[:, None], torch.inf).amin(1)
