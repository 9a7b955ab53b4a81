"""Small purifiers and victims with random weights, and batch norms whose statistics are not the trivial ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import Victim, victim_from_module

LABELS = ("stop", "yield", "limit", "oneway", "school")
SIZE_PX = (16, 16)
TINY_NANO = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros", output="residual",
                           has_skips=True)  # fmt: skip


def perturbed(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a module weights and statistics as if it had been trained: none at its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.is_floating_point() and name.split(".")[-1] not in ("mean_C", "std_C"):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return module.eval().requires_grad_(False)


def make_purifier(config: PurifierConfig = TINY_NANO) -> Purifier:
    torch.manual_seed(0)
    purifier = Purifier(config)
    perturbed(purifier)
    return purifier


def make_victim(**settings: object) -> Victim:
    torch.manual_seed(1)
    module = perturbed(SimpleResNet(len(LABELS), units_per_stage=1))
    identity = {"kind": "simple-resnet", "name": "tiny"} | settings
    return victim_from_module(module, identity, size_px=SIZE_PX, labels=LABELS)


def make_frames(n: int = 48, size_px: tuple[int, int] = SIZE_PX) -> ImageSet:
    rng = np.random.default_rng(0)
    return ImageSet(name="random/test", images_NHWC=rng.integers(0, 256, (n, *size_px, 3), dtype=np.uint8),
                    labels_N=rng.integers(0, len(LABELS), n), class_names=LABELS)  # fmt: skip
