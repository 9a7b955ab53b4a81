"""Adversarial weight perturbation (AWP; Wu et al. 2020): the gradient is taken where the weights are a step worse.

It flattens the loss around the weights. Nothing is drawn and nothing is kept between two steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.training.device import average_gradients

SMALLEST_NORM = 1e-20
"""A layer whose gradient is 0 (behind a painter that is still zero) stays where it is."""


@contextmanager
def perturbed(module: nn.Module, loss: Tensor, gamma: float, fabric: Fabric) -> Iterator[None]:
    """Move each trained layer of a module by `gamma` of its norm up the gradient of a loss; then put it back exactly.

    As in the authors' code a layer is a weight of two or more dimensions: biases, and the scales of the norms, stay.
    Unlike there the running statistics are put back too: those that ship are of the weights that ship.

    Args:
        module: its free parameters are moved, in place; their gradients are forgotten.
        loss: a scalar of the module's output, whose graph is freed.
        gamma: ||change|| / ||weight|| of each layer, above 0.
        fabric: of the run; its processes climb together.
    """
    moved = _gradients(module, loss, fabric)
    kept = [(tensor, tensor.detach().clone()) for tensor in (*(weight for weight, _ in moved), *module.buffers())]
    try:
        with torch.no_grad():
            for weight, gradient in moved:
                weight.add_(gradient * (gamma * weight.norm() / (gradient.norm() + SMALLEST_NORM)))
        yield
    finally:
        with torch.no_grad():  # copied, not subtracted: a sum that is undone is not what it was
            for tensor, before in kept:
                tensor.copy_(before)


def _gradients(module: nn.Module, loss: Tensor, fabric: Fabric) -> list[tuple[nn.Parameter, Tensor]]:
    """Return the layers that the loss depends on, and its gradient by each: the mean over the processes."""
    layers = [parameter for parameter in module.parameters() if parameter.requires_grad and parameter.ndim > 1]
    module.zero_grad()
    torch.autograd.backward(loss, inputs=layers)  # not Fabric's, which would count as a step's own
    average_gradients(fabric, module)
    found = [(layer, layer.grad) for layer in layers if layer.grad is not None]
    module.zero_grad()
    return found
