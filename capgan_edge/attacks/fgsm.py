"""The fast gradient sign method: one step of epsilon along the sign of the gradient (Goodfellow et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, LinfAttack, Model, cross_entropy_gradient, project


@dataclass(frozen=True, kw_only=True)
class FGSM(LinfAttack):
    """One step, no random start."""

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        return x_BCHW + self.epsilon * model.cross_entropy_gradient(x_BCHW, y_B).sign()


def fgsm_with_logits(model: Model, x_BCHW: Tensor, y_B: Tensor, epsilon: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the FGSM images and the model's logits on the clean ones, which training needs anyway.

    `epsilon` is one for all images, or one of each, [B, 1, 1, 1].
    """
    gradient_BCHW, logits_BK = cross_entropy_gradient(model, x_BCHW, y_B)
    return project(x_BCHW + epsilon * gradient_BCHW.sign(), x_BCHW, epsilon), logits_BK
