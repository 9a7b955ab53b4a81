"""Auto-PGD on the cross-entropy (Croce & Hein 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.ascent import Climb, climb
from capgan_edge.attacks.base import CountedModel, LinfAttack, require_at_least_one, rows_still_right
from capgan_edge.attacks.losses import cross_entropy


@dataclass(frozen=True, kw_only=True)
class APGDCE(LinfAttack):
    """`steps` steps whose size the attack chooses itself; images already misclassified stay as they are."""

    steps: int = 100
    restarts: int = 1
    """Starts in all; images that fool are left out of the next."""
    stops_early: bool = True
    """Leave an image as soon as it fools; False climbs on, for images that are meant to fool another model as well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        require_at_least_one("start", self.restarts)

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        how = Climb(loss=_loss, epsilon=self.epsilon, steps=self.steps, stops_early=self.stops_early)
        a_BCHW = x_BCHW.clone()
        left = rows_still_right(model.logits(x_BCHW), y_B)
        for _ in range(self.restarts):
            if not len(left):
                break
            y_left_B = y_B[left]
            a_BCHW[left], is_fooled_B = climb(model.at(left), x_BCHW[left], y_left_B, y_left_B, how, generator)
            left = left[~is_fooled_B]
        return a_BCHW


def _loss(logits_BK: Tensor, y_B: Tensor, target_B: Tensor) -> Tensor:
    return cross_entropy(logits_BK, y_B)
