"""Auto-PGD on the targeted difference-of-logits ratio, one target after the other (Croce & Hein 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.ascent import Climb, climb
from capgan_edge.attacks.base import CountedModel, LinfAttack, require_at_least_one, rows_still_right
from capgan_edge.attacks.losses import likeliest_others, targeted_dlr


@dataclass(frozen=True, kw_only=True)
class APGDT(LinfAttack):
    """`steps` steps towards each of the likeliest wrong classes until one is enough; needs four classes or more.

    An image is left as soon as it fools, whatever class it then takes; one already misclassified stays as it is.
    """

    steps: int = 100
    num_targets: int = 9
    """How many of the likeliest wrong classes; of a model with fewer, all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        require_at_least_one("target", self.num_targets)

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        how = Climb(loss=targeted_dlr, epsilon=self.epsilon, steps=self.steps, stops_early=True)
        a_BCHW = x_BCHW.clone()
        logits_BK = model.logits(x_BCHW)
        left = rows_still_right(logits_BK, y_B)
        for target_B in likeliest_others(logits_BK, y_B, self.num_targets).unbind(1):
            if not len(left):
                break
            a_BCHW[left], is_fooled_B = climb(
                model.at(left), x_BCHW[left], y_B[left], target_B[left], how, generator
            )  # fmt: skip
            left = left[~is_fooled_B]
        return a_BCHW
