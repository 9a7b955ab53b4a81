"""Projected gradient descent on the cross-entropy from a random start (Madry et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from capgan_edge.attacks.base import (
    CountedModel,
    LinfAttack,
    project,
    require_at_least_one,
    rows_still_right,
    uniform_start,
)
from capgan_edge.attacks.losses import cross_entropy
from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PGD(LinfAttack):
    """`steps` steps of `step_size`, projected after each; PGD-7 and PGD-40 of the paper are 7 and 40 steps."""

    steps: int = 40
    step_size: float | None = None
    """In the unit of the images; None is epsilon / 4, which is 2/255 at 8/255."""
    has_random_start: bool = True
    restarts: int = 1
    """Starts in all; images that fool are left out of the next, of the others the highest loss is kept."""
    stops_early: bool = False
    """Leave an image as soon as it fools; not for images that are meant to fool another model as well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        require_at_least_one("start", self.restarts)
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise ConfigError(f"expected step_size in (0, 1], or None for epsilon / 4, got {self.step_size}")
        if self.restarts > 1 and not self.has_random_start:
            raise ConfigError(
                f"expected one start without a random start, got restarts={self.restarts}, which would all be the "
                "same; pass has_random_start=True or restarts=1"
            )

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        climb = self._climb_until_fooled if self.stops_early else self._climb
        if self.restarts == 1:
            return climb(model, x_BCHW, y_B, generator)
        best_BCHW, best_loss_B = x_BCHW.clone(), torch.full(y_B.shape, -torch.inf, device=x_BCHW.device)
        left = torch.arange(len(y_B), device=y_B.device)
        for _ in range(self.restarts):
            a_BCHW = climb(model.at(left), x_BCHW[left], y_B[left], generator)
            logits_BK = model.at(left).logits(a_BCHW)
            loss_B = cross_entropy(logits_BK, y_B[left])
            is_better_B = (loss_B > best_loss_B[left]) | (logits_BK.argmax(1) != y_B[left])
            best_BCHW[left[is_better_B]], best_loss_B[left[is_better_B]] = a_BCHW[is_better_B], loss_B[is_better_B]
            left = left[rows_still_right(logits_BK, y_B[left])]
            if not len(left):
                break
        return best_BCHW

    def _start(self, x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        return uniform_start(x_BCHW, self.epsilon, generator) if self.has_random_start else x_BCHW

    def _step(self, a_BCHW: Tensor, gradient_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
        step_size = self.epsilon / 4 if self.step_size is None else self.step_size
        return project(a_BCHW + step_size * gradient_BCHW.sign(), x_BCHW, self.epsilon)

    def _climb(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        a_BCHW = self._start(x_BCHW, generator)
        for _ in range(self.steps):
            a_BCHW = self._step(a_BCHW, model.cross_entropy_gradient(a_BCHW, y_B), x_BCHW)
        return a_BCHW

    def _climb_until_fooled(
        self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator
    ) -> Tensor:
        a_BCHW = self._start(x_BCHW, generator).clone()
        left = torch.arange(len(y_B), device=y_B.device)
        for _ in range(self.steps):
            found = model.at(left).gradient(a_BCHW[left], partial(cross_entropy, y_B=y_B[left]))
            still = rows_still_right(found.logits_BK, y_B[left])
            left = left[still]
            if not len(left):
                break
            a_BCHW[left] = self._step(a_BCHW[left], found.gradient_BCHW[still], x_BCHW[left])
        return a_BCHW
