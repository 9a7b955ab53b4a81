"""A small classifier to bring as a victim, the images it takes, and its torch.export file."""

from __future__ import annotations

import io

import torch
from torch import nn


def classifier() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(4, 3)).eval()


def pt2_bytes(module: nn.Module, *, is_dynamic: bool = True) -> bytes:
    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("N")},) if is_dynamic else None
    torch.export.save(torch.export.export(module, (torch.rand(2, 3, 32, 32),), dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))
