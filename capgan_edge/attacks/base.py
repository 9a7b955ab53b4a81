"""What every attack shares: bounds, projection, the final clip, the success test, the counts and the seed.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from capgan_edge.attacks.counted import CountedModel, Evaluated, Loss, Model, cross_entropy_gradient
from capgan_edge.attacks.losses import other_minus_true
from capgan_edge.errors import ConfigError, DataError, InputError

__all__ = [
    "Attack",
    "Attacked",
    "CountedModel",
    "Evaluated",
    "LinfAttack",
    "Loss",
    "Model",
    "cross_entropy_gradient",
    "project",
    "require_at_least_one",
    "rows_still_right",
    "uniform_start",
]


MARGIN_TOLERANCE = 1e-4
"""Logits of one image differ by about so much between batches of other sizes."""


class Attacked(NamedTuple):
    """What an attack made of a batch."""

    images_BCHW: Tensor
    """Float32 RGB within [0, 1]; of an L-infinity attack also within epsilon of the originals."""
    is_fooled_B: Tensor
    """Whether the model's label differs from the true one."""
    is_enough_B: Tensor
    """Whether it does by what the attack asks for: with a margin of kappa, where there is one."""
    queries_B: Tensor
    """How often the attack put each image, or a variation of it, through the model; the success test is not one."""
    gradients_B: Tensor
    """How many of those queries were taken back to the image."""
    l2_B: Tensor
    """Euclidean distance from the original, pixels in [0, 1]."""

    @property
    def num_queries(self) -> int:
        """The largest number of queries of an image."""
        return int(self.queries_B.max())

    @property
    def num_gradients(self) -> int:
        """The largest number of gradients of an image."""
        return int(self.gradients_B.max())

    @property
    def mean_l2(self) -> float:
        """Mean Euclidean distance of the images that fool; NaN where none does."""
        return float(self.l2_B[self.is_fooled_B].mean()) if bool(self.is_fooled_B.any()) else math.nan


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """Perturb images so that the model's label is no longer the true one."""

    seed: int = 0

    def __call__(self, model: Model, x_BCHW: Tensor, y_B: Tensor) -> Attacked:
        """Attack float32 RGB in [0, 1] with true labels `y_B`; the inputs are left as they are.

        Raises:
            InputError: the images are not float32 [B, C, H, W] in [0, 1], or there is none.
            DataError: the labels do not fit the images or the model.
            ConfigError: the attack needs gradients and the model gives none.
        """
        _require_batch(x_BCHW, y_B)
        self.require_model(model)
        generator = torch.Generator(device=x_BCHW.device).manual_seed(self.seed)
        counted = CountedModel(model, y_B)
        with torch.no_grad():
            raw_BCHW = self.run(counted, x_BCHW, y_B, generator)
            images_BCHW = self.bounded(raw_BCHW, x_BCHW)
            judge = counted.uncounted()  # its counts are nobody's: the success test is not the attacker's
            logits_BK = self.scored_logits(judge.logits, images_BCHW)
        is_fooled_B = logits_BK.argmax(1) != y_B
        is_enough_B = is_fooled_B & (other_minus_true(logits_BK, y_B) >= self.margin - MARGIN_TOLERANCE)
        l2_B = (images_BCHW - x_BCHW).flatten(1).norm(dim=1)
        return Attacked(images_BCHW, is_fooled_B, is_enough_B, counted.queries_N, counted.gradients_N, l2_B)

    @property
    def margin(self) -> float:
        """How much larger a wrong logit has to be than the true one for the attack to be content; 0 where it is."""
        return 0.0

    def require_model(self, model: Model) -> None:  # noqa: B027  # most attacks ask nothing more
        """Refuse a model that lacks what the attack asks of it.

        Raises:
            ConfigError: it does.
        """

    @abstractmethod
    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        """Return perturbed images; called without gradients, the caller bounds and clips once more."""

    def bounded(self, images_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
        """Return the images nearest to these that the threat allows."""
        return images_BCHW.clamp(0, 1)

    def scored_logits(self, model: Model, images_BCHW: Tensor) -> Tensor:
        """Return the logits by which success is judged."""
        return model(images_BCHW)


@dataclass(frozen=True, kw_only=True)
class LinfAttack(Attack):
    """Perturb each pixel by at most `epsilon` so that the model's label is no longer the true one."""

    epsilon: float = 8 / 255
    """In the unit of the images, which lie in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"expected epsilon in [0, 1] (8/255 is {8 / 255:.4f}), got {self.epsilon}")

    def bounded(self, images_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
        return project(images_BCHW, x_BCHW, self.epsilon)


def project(images_BCHW: Tensor, x_BCHW: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return the images nearest to these within `epsilon` (one, or [B, 1, 1, 1]) of `x` and within [0, 1]."""
    return torch.clamp(torch.minimum(torch.maximum(images_BCHW, x_BCHW - epsilon), x_BCHW + epsilon), 0, 1)


def uniform_start(x_BCHW: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return a point drawn evenly from the ball around each image, clipped to [0, 1]."""
    noise_BCHW = torch.rand(x_BCHW.shape, generator=generator, device=x_BCHW.device)
    return project(x_BCHW + (2 * noise_BCHW - 1) * epsilon, x_BCHW, epsilon)


def rows_still_right(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Return the indices of the images whose label is still the true one."""
    return (logits_BK.argmax(1) == y_B).nonzero().flatten()


def require_at_least_one(noun: str, number: int) -> None:
    """Refuse a number of steps, restarts, queries, ... below one."""
    if number < 1:
        raise ConfigError(f"expected at least one {noun}, got {number}; pass 1 or more")


def _require_batch(x_BCHW: Tensor, y_B: Tensor) -> None:
    if x_BCHW.ndim != 4 or x_BCHW.dtype != torch.float32 or not len(x_BCHW):
        raise InputError(
            f"expected float32 images [B, C, H, W], at least one, got {x_BCHW.dtype} {list(x_BCHW.shape)}; "
            "convert frames with frames.permute(0, 3, 1, 2).float() / 255"
        )
    if not bool(((x_BCHW >= 0) & (x_BCHW <= 1)).all()):
        low, high = float(x_BCHW.min()), float(x_BCHW.max())
        raise InputError(f"expected images in [0, 1], got [{low:g}, {high:g}]; divide 8-bit frames by 255")
    if y_B.dtype != torch.int64 or y_B.shape != (len(x_BCHW),):
        raise DataError(
            f"expected {len(x_BCHW)} int64 labels, one an image, got {y_B.dtype} {list(y_B.shape)}; pass the "
            "true label of each image"
        )
    if int(y_B.min()) < 0:
        raise DataError(f"expected labels of 0 and above, got {int(y_B.min())}; leave images without a label out")
