"""What every L-infinity attack shares: bounds, projection, the success test, the counts and the seed.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.errors import ConfigError

Model = Callable[[Tensor], Tensor]
"""From float32 RGB in [0, 1], [B, 3, H, W], to logits [B, K]; in eval mode, parameters frozen."""


class Attacked(NamedTuple):
    """What an attack made of a batch."""

    images_BCHW: Tensor
    """Float32 RGB, within epsilon of the originals and within [0, 1]."""
    is_fooled_B: Tensor
    """Whether the model's label differs from the true one."""
    num_gradients: int
    """Gradient evaluations an image."""


@dataclass(frozen=True, kw_only=True)
class LinfAttack(ABC):
    """Perturb each pixel by at most `epsilon` so that the model's label is no longer the true one."""

    epsilon: float = 8 / 255
    """In the unit of the images, which lie in [0, 1]."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"expected epsilon in [0, 1] (8/255 is {8 / 255:.4f}), got {self.epsilon}")

    def __call__(self, model: Model, x_BCHW: Tensor, y_B: Tensor) -> Attacked:
        """Attack float32 RGB in [0, 1] with true labels `y_B`; the inputs are left as they are."""
        generator = torch.Generator(device=x_BCHW.device).manual_seed(self.seed)
        counted = CountedModel(model)
        raw_BCHW = self.run(counted, x_BCHW, y_B, generator)
        images_BCHW = project(raw_BCHW, x_BCHW, self.epsilon)
        with torch.no_grad():
            is_fooled_B = model(images_BCHW).argmax(1) != y_B
        return Attacked(images_BCHW, is_fooled_B, counted.num_gradients)

    @abstractmethod
    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        """Return perturbed images; the caller projects and clips once more."""


class CountedModel:
    """A model that counts the gradients taken through it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.num_gradients = 0

    def cross_entropy_gradient(self, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        """Return the gradient of the summed cross-entropy by the input."""
        self.num_gradients += 1
        return cross_entropy_gradient(self._model, x_BCHW, y_B)[0]


def cross_entropy_gradient(model: Model, x_BCHW: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of the summed cross-entropy by the input, and the logits it was taken at."""
    with torch.enable_grad():
        x_BCHW = x_BCHW.detach().requires_grad_()
        logits_BK = model(x_BCHW)
        loss = F.cross_entropy(logits_BK.float(), y_B, reduction="sum")
        (gradient_BCHW,) = torch.autograd.grad(loss, x_BCHW)
    return gradient_BCHW, logits_BK.detach()


def project(images_BCHW: Tensor, x_BCHW: Tensor, epsilon: float) -> Tensor:
    """Return the images nearest to these within `epsilon` of `x` and within [0, 1]."""
    return torch.clamp(torch.minimum(torch.maximum(images_BCHW, x_BCHW - epsilon), x_BCHW + epsilon), 0, 1)
