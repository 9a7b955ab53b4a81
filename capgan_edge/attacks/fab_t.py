"""The fast adaptive boundary attack, targeted, L-infinity: the nearest image that fools (Croce & Hein 2020, FAB-T)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, LinfAttack, require_at_least_one, rows_still_right
from capgan_edge.attacks.hyperplane import step_to_hyperplane
from capgan_edge.attacks.losses import likeliest_others, target_minus_true

OVERSHOOT = 1.05
"""How far past the linearised boundary a step goes (eta)."""
BACKWARD = 0.9
"""Where an image that fools goes on from, as a share of its way from the original (beta)."""
MOST_BIAS = 0.1
"""Largest share of the step that starts at the original (alpha_max)."""


@dataclass(frozen=True, kw_only=True)
class FABT(LinfAttack):
    """`steps` steps along the boundary towards each of the likeliest wrong classes.

    The smallest perturbation is looked for whatever epsilon is, and then cut to epsilon; with `epsilon=1` the result is
    the nearest image that fools. Images already misclassified, and those for which none is found, stay as they are.
    """

    steps: int = 100
    num_targets: int = 9
    """How many of the likeliest wrong classes; of a model with fewer, all."""
    stops_early: bool = True
    """Leave an image as soon as one within epsilon fools; False goes on to the nearest over all targets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        require_at_least_one("target", self.num_targets)

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        logits_BK = model.logits(x_BCHW)
        left = rows_still_right(logits_BK, y_B)
        nearest = _Nearest(x_BCHW)
        for target_B in likeliest_others(logits_BK, y_B, self.num_targets).unbind(1):
            if not len(left):
                break
            left = self._approach(model, left, x_BCHW, y_B, target_B, nearest)
        return nearest.images_BCHW

    def _approach(
        self, model: CountedModel, left: Tensor, x_BCHW: Tensor, y_B: Tensor, target_B: Tensor, nearest: _Nearest
    ) -> Tensor:
        """Go towards one target; return the rows that are still worth another."""
        rows, a_BCHW = left, x_BCHW[left]
        for _ in range(self.steps):
            narrowed, o_BCHW = model.at(rows), x_BCHW[rows]
            a_BCHW = self._step(narrowed, a_BCHW, o_BCHW, y_B[rows], target_B[rows])
            is_fooled_B = narrowed.logits(a_BCHW).argmax(1) != y_B[rows]
            nearest.offer(rows[is_fooled_B], a_BCHW[is_fooled_B], o_BCHW[is_fooled_B])
            pulled_BCHW = o_BCHW + BACKWARD * (a_BCHW - o_BCHW)
            a_BCHW = torch.where(is_fooled_B[:, None, None, None], pulled_BCHW, a_BCHW)
            if self.stops_early:
                is_left_B = nearest.distance_B[rows] > self.epsilon
                rows, a_BCHW = rows[is_left_B], a_BCHW[is_left_B]
            if not len(rows):
                break
        return rows

    def _step(
        self, model: CountedModel, a_BCHW: Tensor, o_BCHW: Tensor, y_B: Tensor, target_B: Tensor
    ) -> Tensor:  # fmt: skip
        """Step past the boundary linearised at `a`, a little biased to the nearest such point of the original."""
        found = model.gradient(a_BCHW, partial(target_minus_true, y_B=y_B, target_B=target_B))
        w_BP, a_BP, o_BP = (part.flatten(1) for part in (found.gradient_BCHW, a_BCHW, o_BCHW))
        b_B = (w_BP.double() * a_BP.double()).sum(1) - found.loss_B.double()
        both_2BP = step_to_hyperplane(torch.cat([a_BP, o_BP]), w_BP.repeat(2, 1), b_B.repeat(2))
        step_BP, o_step_BP = both_2BP.chunk(2)
        size_B, o_size_B = (part.abs().amax(1).clamp_min(1e-8) for part in (step_BP, o_step_BP))
        bias_B1 = (size_B / (size_B + o_size_B)).clamp_max(MOST_BIAS)[:, None]
        moved_BP = (1 - bias_B1) * (a_BP + OVERSHOOT * step_BP) + bias_B1 * (o_BP + OVERSHOOT * o_step_BP)
        return moved_BP.clamp(0, 1).view_as(o_BCHW)


class _Nearest:
    """The nearest image that fools, so far, of each."""

    def __init__(self, x_BCHW: Tensor) -> None:
        self.images_BCHW = x_BCHW.clone()
        self.distance_B = torch.full((len(x_BCHW),), torch.inf, device=x_BCHW.device)

    def offer(self, rows_B: Tensor, a_BCHW: Tensor, o_BCHW: Tensor) -> None:
        distance_B = (a_BCHW - o_BCHW).flatten(1).abs().amax(1)
        is_nearer_B = distance_B < self.distance_B[rows_B]
        self.images_BCHW[rows_B[is_nearer_B]] = a_BCHW[is_nearer_B]
        self.distance_B[rows_B[is_nearer_B]] = distance_B[is_nearer_B]
