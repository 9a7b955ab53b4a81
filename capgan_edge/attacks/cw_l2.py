"""Carlini & Wagner's L2 attack (2017): the nearest image with a margin of kappa, or the one that came nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.adam import Adam
from capgan_edge.attacks.base import Attack, CountedModel, require_at_least_one
from capgan_edge.attacks.losses import other_minus_true
from capgan_edge.errors import ConfigError

NEARLY_ONE = 1 - 1e-6
"""Keeps the inverse hyperbolic tangent of black and white pixels finite."""
LARGEST_C = 1e10


@dataclass(frozen=True, kw_only=True)
class CWL2(Attack):
    """Lower |d|^2 + c max(true - other, -kappa); of the images with a margin of kappa or more the nearest is kept.

    Where none has that margin, the one with the largest is: an image that fools by less than kappa is worth more to an
    attacker than the original, and one that does not fool yet may fool another model. So `Attacked.is_fooled_B` counts
    every image that fools, and `is_enough_B` those that do by kappa. There is no epsilon: read `Attacked.mean_l2`
    beside the success. The paper's search is `c=1e-3, search_steps=9`.
    """

    kappa: float = 0.0
    """How much larger a wrong logit has to be than the true one."""
    c: float = 1.0
    """Weight of the margin; where it is searched for, its first value."""
    search_steps: int = 1
    """1 keeps `c` as it is; more search it, image by image: tenfold until one succeeds, then by halves."""
    steps: int = 1000
    learning_rate: float = 0.01
    stops_early: bool = True
    """Leave an image that reached kappa and whose loss then did not fall by a ten-thousandth over a tenth of the steps.

    One that did not reach it goes on: past a defence (BPDA) the loss rises now and then on the way.
    """

    def __post_init__(self) -> None:
        require_at_least_one("step", self.steps)
        require_at_least_one("search step", self.search_steps)
        for name, is_right in {
            "kappa": self.kappa >= 0,
            "c": self.c > 0,
            "learning_rate": self.learning_rate > 0,
        }.items():
            if not is_right:
                floor = "of 0 or more" if name == "kappa" else "above 0"
                raise ConfigError(f"expected {name} {floor}, got {getattr(self, name)}; the defaults are the paper's")

    @property
    def margin(self) -> float:
        return self.kappa

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        best = _Best(x_BCHW, self.kappa)
        c_B = torch.full(y_B.shape, self.c, device=x_BCHW.device)
        low_B, high_B = torch.zeros_like(c_B), torch.full_like(c_B, LARGEST_C)
        for _ in range(self.search_steps):
            is_reached_B = self._descend(model, x_BCHW, y_B, c_B, best)
            high_B = torch.where(is_reached_B, torch.minimum(high_B, c_B), high_B)
            low_B = torch.where(is_reached_B, low_B, torch.maximum(low_B, c_B))
            c_B = torch.where(high_B < LARGEST_C, (low_B + high_B) / 2, c_B * 10)
        return best.images_BCHW

    def _descend(
        self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, c_B: Tensor, best: _Best
    ) -> Tensor:  # fmt: skip
        """Descend from the images for one c each; return which reached a margin of kappa."""
        rows = torch.arange(len(y_B), device=y_B.device)
        w_BCHW = torch.atanh((2 * x_BCHW - 1) * NEARLY_ONE)
        adam, is_reached_B = Adam(w_BCHW, self.learning_rate), torch.zeros_like(y_B, dtype=torch.bool)
        loss_before_B = torch.full(y_B.shape, torch.inf, device=x_BCHW.device)
        for step in range(self.steps):
            a_BCHW = (torch.tanh(w_BCHW) + 1) / 2
            loss_B, slope_BCHW, margin_B = self._evaluate(model.at(rows), a_BCHW, x_BCHW[rows], y_B[rows], c_B[rows])
            is_reached_B[rows] |= margin_B >= self.kappa
            best.offer(rows, a_BCHW, margin_B)
            w_BCHW = w_BCHW - adam.step(slope_BCHW * 2 * a_BCHW * (1 - a_BCHW))  # d tanh(w)/2 = 2 a (1 - a) dw
            if self.stops_early and step % max(self.steps // 10, 1) == 0:
                is_falling_B = loss_B < 0.9999 * loss_before_B[rows]
                still = (is_falling_B | ~is_reached_B[rows]).nonzero().flatten()
                loss_before_B[rows] = loss_B
                rows, w_BCHW = rows[still], w_BCHW[still]
                adam.narrow(still)
                if not len(rows):
                    break
        return is_reached_B

    def _evaluate(
        self, model: CountedModel, a_BCHW: Tensor, x_BCHW: Tensor, y_B: Tensor, c_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, its gradient by the image, and the margin."""
        found = model.gradient(
            a_BCHW, lambda logits_BK: c_B * (self.kappa - other_minus_true(logits_BK, y_B)).clamp_min(0)
        )
        away_BCHW = a_BCHW - x_BCHW
        loss_B = found.loss_B + away_BCHW.flatten(1).square().sum(1)
        return loss_B, found.gradient_BCHW + 2 * away_BCHW, other_minus_true(found.logits_BK, y_B)


class _Best:
    """The best image of each so far: of those with a margin of kappa the nearest, before any other the surest."""

    def __init__(self, x_BCHW: Tensor, kappa: float) -> None:
        self.images_BCHW = x_BCHW.clone()
        self._x_BCHW, self._kappa = x_BCHW, kappa
        self._l2_B = torch.full((len(x_BCHW),), torch.inf, device=x_BCHW.device)
        self._margin_B = torch.full_like(self._l2_B, -torch.inf)

    def offer(self, rows_B: Tensor, a_BCHW: Tensor, margin_B: Tensor) -> None:
        l2_B = (a_BCHW - self._x_BCHW[rows_B]).flatten(1).norm(dim=1)
        is_enough_B = margin_B >= self._kappa
        has_enough_B = self._margin_B[rows_B] >= self._kappa
        is_nearer_B, is_surer_B = l2_B < self._l2_B[rows_B], margin_B > self._margin_B[rows_B]
        is_better_B = torch.where(has_enough_B, is_enough_B & is_nearer_B, is_surer_B)
        rows_B = rows_B[is_better_B]
        self.images_BCHW[rows_B] = a_BCHW[is_better_B]
        self._l2_B[rows_B], self._margin_B[rows_B] = l2_B[is_better_B], margin_B[is_better_B]
