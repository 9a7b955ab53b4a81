"""Simultaneous perturbation stochastic approximation: gradients guessed from outputs alone (Uesato et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.adam import Adam
from capgan_edge.attacks.base import CountedModel, LinfAttack, project, require_at_least_one, rows_still_right
from capgan_edge.attacks.losses import other_minus_true
from capgan_edge.errors import ConfigError

MOST_PAIRS_AT_ONCE = 128
"""Pairs of one image that go through the model together: bounds memory, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class SPSA(LinfAttack):
    """`steps` steps of Adam on a gradient of the margin guessed from `batch` queries around the image.

    Each step costs `batch` queries an image and one more that looks whether it now fools; an image that does is left,
    one already misclassified stays as it is. Points asked for lie in [0, 1], and up to `delta` outside epsilon.
    """

    steps: int = 100
    batch: int = 2048
    """Queries behind each guess, in pairs on two sides of the image."""
    delta: float = 0.01
    """How far from the image the model is asked, in the unit of the images."""
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        if self.batch < 2 or self.batch % 2:
            raise ConfigError(f"expected an even batch of queries, two or more, got {self.batch}; they come in pairs")
        if not 0 < self.delta <= 1:
            raise ConfigError(f"expected delta in (0, 1], got {self.delta}; the paper's is 0.01")
        if not self.learning_rate > 0:
            raise ConfigError(f"expected a learning_rate above 0, got {self.learning_rate}; the paper's is 0.01")

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        a_BCHW = x_BCHW.clone()
        left = rows_still_right(model.logits(x_BCHW), y_B)
        adam = Adam(x_BCHW[left], self.learning_rate)
        for _ in range(self.steps):
            if not len(left):
                break
            slope_BCHW = torch.stack(
                [self._slope(model.at(row[None]), a_BCHW[row], y_B[row], generator) for row in left]
            )
            moved_BCHW = project(a_BCHW[left] + adam.step(slope_BCHW), x_BCHW[left], self.epsilon)
            a_BCHW[left] = moved_BCHW
            still = rows_still_right(model.at(left).logits(moved_BCHW), y_B[left])
            left = left[still]
            adam.narrow(still)
        return a_BCHW

    def _slope(self, model: CountedModel, a_CHW: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Return the guessed gradient of the margin at one image."""
        slope_CHW, pairs_left = torch.zeros_like(a_CHW), self.batch // 2
        while pairs_left:
            pairs = min(pairs_left, MOST_PAIRS_AT_ONCE)
            bits_PCHW = torch.randint(2, (pairs, *a_CHW.shape), generator=generator, device=a_CHW.device)
            sign_PCHW = (2 * bits_PCHW - 1).to(a_CHW.dtype)
            sides_2PCHW = torch.cat([a_CHW + self.delta * sign_PCHW, a_CHW - self.delta * sign_PCHW]).clamp(0, 1)
            same_2P = torch.zeros(2 * pairs, dtype=torch.int64, device=y.device)
            margin_2P = other_minus_true(model.at(same_2P).logits(sides_2PCHW), y.expand(2 * pairs))
            rise_P = (margin_2P[:pairs] - margin_2P[pairs:]) / (2 * self.delta)
            slope_CHW += torch.einsum("p,pchw->chw", rise_P, sign_PCHW) / (self.batch // 2)
            pairs_left -= pairs
        return slope_CHW
