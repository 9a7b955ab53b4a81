"""Auto-PGD's ascent: momentum, and a step that halves where the loss has stopped growing.

Croce & Hein 2020, algorithm 1. Both APGD attacks climb by it; they differ in the loss.
Shapes: B images still climbed, C channel, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, project, rows_still_right, uniform_start

AscentLoss = Callable[..., Tensor]
"""From logits [B, K], true labels [B] and targets [B] to what is raised, [B]."""
MOMENTUM = 0.75
"""Share of the new step; the rest is the previous move."""
ENOUGH_RISES = 0.75
"""Share of steps between two checkpoints that have to raise the loss, or the step is halved."""


@dataclass(frozen=True, kw_only=True)
class Climb:
    """What to climb, how far, for how long."""

    loss: AscentLoss
    epsilon: float
    steps: int
    stops_early: bool
    """Leave an image as soon as it fools; else the fooling image with the highest loss is kept."""


@dataclass
class _State:
    """One row an image that is still climbed; `found` lies in the result, all else is narrowed with the rows."""

    rows_B: Tensor
    x_BCHW: Tensor
    y_B: Tensor
    target_B: Tensor
    a_BCHW: Tensor
    previous_BCHW: Tensor
    gradient_BCHW: Tensor
    loss_B: Tensor
    best_BCHW: Tensor
    best_gradient_BCHW: Tensor
    best_loss_B: Tensor
    step_B111: Tensor
    num_rises_B: Tensor
    checkpoint_loss_B: Tensor
    was_halved_B: Tensor

    def narrow(self, still: Tensor) -> None:
        """Keep the rows `still`."""
        if len(still) < len(self.rows_B):
            for field in fields(self):
                setattr(self, field.name, getattr(self, field.name)[still])


def climb(
    model: CountedModel, x_BCHW: Tensor, y_B: Tensor, target_B: Tensor, how: Climb, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the best image of each climb and whether it fools; `steps` gradients and one query more an image."""
    found = _Found(x_BCHW)
    state = _started(model, x_BCHW, y_B, target_B, how, generator, found)
    stops = checkpoints(how.steps)
    last_stop = 0
    for step in range(1, how.steps + 1):
        if not len(state.rows_B):
            break
        _move(state, how.epsilon, is_first=step == 1)
        _evaluate(model, state, how, found, needs_gradient=step < how.steps)
        if step in stops:
            _halve_where_stuck(state, step - last_stop)
            last_stop = step
    return found.images_BCHW, found.is_fooled_B


def checkpoints(steps: int) -> list[int]:
    """Return the steps after which the step size is reviewed: at 22 % of them, then at intervals that shrink to 6 %."""
    stops, previous, share = [], 0.0, 0.22
    while share < 1:
        stops.append(math.ceil(share * steps - 1e-9))  # 0.41 * 100 must not become 42 by rounding
        previous, share = share, share + max(share - previous - 0.03, 0.06)
    return sorted({stop for stop in stops if stop < steps})


class _Found:
    """The best image of each climb: one that fools before one that does not, then the higher loss."""

    def __init__(self, x_BCHW: Tensor) -> None:
        self.images_BCHW = x_BCHW.clone()
        self.is_fooled_B = torch.zeros(len(x_BCHW), dtype=torch.bool, device=x_BCHW.device)
        self._loss_B = torch.full((len(x_BCHW),), -torch.inf, device=x_BCHW.device)

    def offer(self, rows_B: Tensor, images_BCHW: Tensor, loss_B: Tensor, is_fooled_B: Tensor) -> None:
        was_fooled_B = self.is_fooled_B[rows_B]
        is_better_B = (is_fooled_B & ~was_fooled_B) | ((is_fooled_B == was_fooled_B) & (loss_B > self._loss_B[rows_B]))
        rows_B = rows_B[is_better_B]
        self.images_BCHW[rows_B], self._loss_B[rows_B] = images_BCHW[is_better_B], loss_B[is_better_B]
        self.is_fooled_B[rows_B] = is_fooled_B[is_better_B]


def _started(
    model: CountedModel, x_BCHW: Tensor, y_B: Tensor, target_B: Tensor, how: Climb, generator: torch.Generator,
    found: _Found,
) -> _State:  # fmt: skip
    a_BCHW = uniform_start(x_BCHW, how.epsilon, generator)
    nothing_B, zero_BCHW = torch.full((len(y_B),), -torch.inf, device=x_BCHW.device), torch.zeros_like(a_BCHW)
    state = _State(
        rows_B=torch.arange(len(y_B), device=y_B.device), x_BCHW=x_BCHW, y_B=y_B, target_B=target_B,
        a_BCHW=a_BCHW, previous_BCHW=a_BCHW, gradient_BCHW=zero_BCHW, loss_B=nothing_B,
        best_BCHW=a_BCHW, best_gradient_BCHW=zero_BCHW, best_loss_B=nothing_B,
        step_B111=torch.full((len(y_B), 1, 1, 1), 2 * how.epsilon, device=x_BCHW.device),
        num_rises_B=torch.zeros_like(y_B), checkpoint_loss_B=nothing_B,
        was_halved_B=torch.zeros_like(y_B, dtype=torch.bool),
    )  # fmt: skip
    _evaluate(model, state, how, found, needs_gradient=True)
    state.num_rises_B, state.checkpoint_loss_B = torch.zeros_like(state.y_B), state.best_loss_B
    return state


def _move(state: _State, epsilon: float, *, is_first: bool) -> None:
    """Step along the gradient's sign; all but the first step keep a part of the move before."""
    a_BCHW, x_BCHW = state.a_BCHW, state.x_BCHW
    straight_BCHW = project(a_BCHW + state.step_B111 * state.gradient_BCHW.sign(), x_BCHW, epsilon)
    if is_first:
        moved_BCHW = straight_BCHW
    else:
        kept_BCHW = (1 - MOMENTUM) * (a_BCHW - state.previous_BCHW)
        moved_BCHW = project(a_BCHW + MOMENTUM * (straight_BCHW - a_BCHW) + kept_BCHW, x_BCHW, epsilon)
    state.previous_BCHW, state.a_BCHW = a_BCHW, moved_BCHW


def _evaluate(model: CountedModel, state: _State, how: Climb, found: _Found, *, needs_gradient: bool) -> None:
    """Take loss and gradient where the images now are, remember what is better, leave images that fool."""
    narrowed = model.at(state.rows_B)
    if needs_gradient:
        state.gradient_BCHW, loss_B, logits_BK = narrowed.gradient(
            state.a_BCHW, partial(how.loss, y_B=state.y_B, target_B=state.target_B)
        )
    else:
        logits_BK = narrowed.logits(state.a_BCHW)
        loss_B = how.loss(logits_BK, state.y_B, state.target_B)
    is_best_B = loss_B > state.best_loss_B
    state.num_rises_B = state.num_rises_B + (loss_B > state.loss_B)
    is_best_B111 = is_best_B[:, None, None, None]
    state.best_BCHW = torch.where(is_best_B111, state.a_BCHW, state.best_BCHW)
    state.best_gradient_BCHW = torch.where(is_best_B111, state.gradient_BCHW, state.best_gradient_BCHW)
    state.best_loss_B = torch.where(is_best_B, loss_B, state.best_loss_B)
    state.loss_B = loss_B
    found.offer(state.rows_B, state.a_BCHW, loss_B, logits_BK.argmax(1) != state.y_B)
    if how.stops_early:
        state.narrow(rows_still_right(logits_BK, state.y_B))


def _halve_where_stuck(state: _State, num_steps: int) -> None:
    """Halve the step and go back to the best point where too few steps rose, or this step size brought nothing new."""
    rose_too_rarely_B = state.num_rises_B < ENOUGH_RISES * num_steps
    is_exhausted_B = ~state.was_halved_B & (state.best_loss_B <= state.checkpoint_loss_B)
    is_stuck_B = rose_too_rarely_B | is_exhausted_B
    is_stuck_B111 = is_stuck_B[:, None, None, None]
    state.step_B111 = torch.where(is_stuck_B111, state.step_B111 / 2, state.step_B111)
    state.a_BCHW = torch.where(is_stuck_B111, state.best_BCHW, state.a_BCHW)
    state.gradient_BCHW = torch.where(is_stuck_B111, state.best_gradient_BCHW, state.gradient_BCHW)
    state.loss_B = torch.where(is_stuck_B, state.best_loss_B, state.loss_B)
    state.was_halved_B, state.checkpoint_loss_B = is_stuck_B, state.best_loss_B
    state.num_rises_B = torch.zeros_like(state.num_rises_B)
