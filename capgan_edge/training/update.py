"""One update of some networks by their loss."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.training.device import average_gradients


def update(
    fabric: Fabric, optimizer: torch.optim.Optimizer, loss: Tensor, *modules: nn.Module, max_norm: float | None
) -> None:
    """Make one step; the gradient of each module is clipped to `max_norm`, where there is one."""
    optimizer.zero_grad()
    fabric.backward(loss)
    average_gradients(fabric, *modules)
    if max_norm is not None:
        for module in modules:
            nn.utils.clip_grad_norm_(module.parameters(), max_norm)
    optimizer.step()
