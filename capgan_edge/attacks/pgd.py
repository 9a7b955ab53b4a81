"""Projected gradient descent on the cross-entropy from a random start (Madry et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, LinfAttack, project
from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PGD(LinfAttack):
    """`steps` steps of `step_size`, projected after each; PGD-7 and PGD-40 of the paper are 7 and 40 steps."""

    steps: int = 40
    step_size: float | None = None
    """In the unit of the images; None is epsilon / 4, which is 2/255 at 8/255."""
    has_random_start: bool = True

    def __post_init__(self) -> None:
        LinfAttack.__post_init__(self)
        if self.steps < 1:
            raise ConfigError(f"expected at least one step, got {self.steps}")
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise ConfigError(f"expected step_size in (0, 1], or None for epsilon / 4, got {self.step_size}")

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        step_size = self.epsilon / 4 if self.step_size is None else self.step_size
        a_BCHW = x_BCHW
        if self.has_random_start:
            noise_BCHW = torch.rand(x_BCHW.shape, generator=generator, device=x_BCHW.device)
            a_BCHW = project(x_BCHW + (2 * noise_BCHW - 1) * self.epsilon, x_BCHW, self.epsilon)
        for _ in range(self.steps):
            gradient_BCHW = model.cross_entropy_gradient(a_BCHW, y_B)
            a_BCHW = project(a_BCHW + step_size * gradient_BCHW.sign(), x_BCHW, self.epsilon)
        return a_BCHW
