"""What a network costs: multiply-accumulates and parameters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Cost(NamedTuple):
    """Multiply-accumulates of one image (convolutions and matrix products), and parameters."""

    macs: int
    parameters: int


def cost_of(module: nn.Module, *, height_px: int, width_px: int) -> Cost:
    """Count one forward pass of a single RGB image, in eval mode, with torch's own counter (a MAC is two FLOPs)."""
    was_training = module.training
    module.eval()
    parameter = next(module.parameters(), torch.zeros(()))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, height_px, width_px, device=parameter.device))
    module.train(was_training)
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in module.parameters()))
