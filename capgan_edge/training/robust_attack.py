"""The attacks that make training images: N-FGSM and a few steps of PGD, on soft labels, against the current weights.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.attacks.base import project, uniform_start

Logits = Tensor | tuple[Tensor, ...]
NOISE_RADII = 2.0
"""Radius of N-FGSM's noise, in epsilons (de Jorge et al. 2022)."""
MIN_STEP_RADII, REACH_RADII = 0.25, 1.5
"""PGD-K takes steps of REACH_RADII / K epsilons, and of MIN_STEP_RADII where K is large."""


def noise_generator(seed: int, epoch: int, rank: int) -> torch.Generator:
    """Return the random numbers of an epoch's attacks: another stream than the batches', and the same when resumed."""
    return torch.Generator().manual_seed(((seed * 1_000_003 + epoch) * 4099 + rank) % 2**63)


def craft(
    model: Callable[[Tensor], Logits], x_BCHW: Tensor, targets_BK: Tensor, *, epsilon: float, steps: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Return images that raise the cross-entropy; 0 steps is N-FGSM, which leaves the ball of radius epsilon.

    Of a model that gives several logits, such as the class head's beside f(T(.))'s, it is the sum.

    The noise of N-FGSM is not projected back: that is what keeps one step from overfitting catastrophically.
    """
    if steps == 0:
        a_BCHW = x_BCHW + _noise(x_BCHW, epsilon, generator)
        return (a_BCHW + epsilon * _gradient(model, a_BCHW, targets_BK).sign()).clamp(0, 1)
    step = epsilon * max(MIN_STEP_RADII, REACH_RADII / steps) if steps > 1 else epsilon
    a_BCHW = uniform_start(x_BCHW.cpu(), epsilon, generator).to(x_BCHW)
    for _ in range(steps):
        a_BCHW = project(a_BCHW + step * _gradient(model, a_BCHW, targets_BK).sign(), x_BCHW, epsilon)
    return a_BCHW


def _gradient(model: Callable[[Tensor], Logits], a_BCHW: Tensor, targets_BK: Tensor) -> Tensor:
    with torch.enable_grad():
        a_BCHW = a_BCHW.detach().requires_grad_()
        found = model(a_BCHW)
        several = found if isinstance(found, tuple) else (found,)
        losses = [F.cross_entropy(logits_BK.float(), targets_BK, reduction="sum") for logits_BK in several]
        loss = torch.stack(losses).sum()
        (gradient_BCHW,) = torch.autograd.grad(loss, a_BCHW)
    return gradient_BCHW


def noisy(x_BCHW: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return images under the noise of N-FGSM, without its step."""
    return (x_BCHW + _noise(x_BCHW, epsilon, generator)).clamp(0, 1)


def _noise(x_BCHW: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Draw on the CPU, whatever the device: the same run on any of them."""
    return ((2 * torch.rand(x_BCHW.shape, generator=generator) - 1) * NOISE_RADII * epsilon).to(x_BCHW)
