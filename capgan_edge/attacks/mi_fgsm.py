"""The momentum iterative fast gradient sign method (Dong et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, LinfAttack, project, require_at_least_one
from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MIFGSM(LinfAttack):
    """`steps` steps of epsilon / `steps` along the sign of an accumulated gradient; no random start."""

    steps: int = 20
    decay: float = 1.0
    """Share of the accumulated gradient that each step keeps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        if not 0 <= self.decay <= 1:
            raise ConfigError(f"expected decay in [0, 1] (the paper's is 1), got {self.decay}")

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        a_BCHW, momentum_BCHW = x_BCHW, torch.zeros_like(x_BCHW)
        for _ in range(self.steps):
            gradient_BCHW = model.cross_entropy_gradient(a_BCHW, y_B)
            size_B111 = gradient_BCHW.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo().tiny)
            momentum_BCHW = self.decay * momentum_BCHW + gradient_BCHW / size_B111
            a_BCHW = project(a_BCHW + self.epsilon / self.steps * momentum_BCHW.sign(), x_BCHW, self.epsilon)
        return a_BCHW
