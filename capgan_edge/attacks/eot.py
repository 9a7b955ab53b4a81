"""Expectation over transformation: any attack against a defence that is random (Athalye et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.base import Attack, Attacked, CountedModel, Model, require_at_least_one


@dataclass(frozen=True, kw_only=True)
class EOT(Attack):
    """Run `attack` on means over `samples` draws of the defence: of gradients, losses and logits.

    Success is judged by the mean logits of as many fresh draws. The seed is this one's, not the wrapped attack's; it
    also seeds the defence's own draws where they come from torch, so that a figure can be had again.
    """

    attack: Attack
    samples: int = 20

    def __post_init__(self) -> None:
        require_at_least_one("sample", self.samples)

    def __call__(self, model: Model, x_BCHW: Tensor, y_B: Tensor) -> Attacked:
        devices = [x_BCHW.device] if x_BCHW.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            return super().__call__(model, x_BCHW, y_B)

    def require_model(self, model: Model) -> None:
        self.attack.require_model(model)

    @property
    def margin(self) -> float:
        return self.attack.margin

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        return self.attack.run(model.averaged(self.samples), x_BCHW, y_B, generator)

    def bounded(self, images_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
        return self.attack.bounded(images_BCHW, x_BCHW)

    def scored_logits(self, model: Model, images_BCHW: Tensor) -> Tensor:
        return torch.stack([self.attack.scored_logits(model, images_BCHW) for _ in range(self.samples)]).mean(0)
