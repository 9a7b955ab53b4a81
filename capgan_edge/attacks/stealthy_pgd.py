"""PGD that fools a model and keeps its own alarm silent: a detector that is not attacked is not measured.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from capgan_edge.attacks.base import (
    CountedModel,
    Evaluated,
    LinfAttack,
    Model,
    project,
    require_at_least_one,
    uniform_start,
)
from capgan_edge.attacks.losses import cross_entropy, other_minus_true
from capgan_edge.errors import ConfigError, DataError


class Watched:
    """A model that also says how suspicious it finds each image: logits [B, K], then the suspicion's logit, in one.

    No attack but StealthyPGD may be given one: the last column is no class.
    """

    def __init__(self, answer: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        self._answer = answer
        """From images to logits [B, K] and the suspicion's logit [B]: a sigmoid's gradient would vanish."""

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        logits_BK, suspicion_B = self._answer(x_BCHW)
        return torch.cat([logits_BK.float(), suspicion_B.float()[:, None]], dim=1)


@dataclass(frozen=True, kw_only=True)
class StealthyPGD(LinfAttack):
    """Climb the cross-entropy and descend the suspicion at once; keep the least suspicious image that fools.

    Each step follows the sum of both gradients, each divided by its mean absolute value. An image that does not fool
    yet counts the cross-entropy `emphasis` times as much, one that fools the suspicion; steps shrink to 0. An image
    that never fools is returned where its margin was smallest, whatever its suspicion there: count detections among the
    images that fool, since the others may well be conspicuous. Two gradients a step, and one query at the end.

    Of what was tried end to end on signs-nano (8/255, 40 steps, n = 32), nothing left fewer images right or detected at
    5 % false alarms. A fixed lambda in `cross-entropy - lambda * suspicion` (0.1 to 3) fooled hardly anyone: the
    suspicion's gradient is the larger by far. Taking turns between the two losses, also each without the other's
    direction (orthogonal PGD, Bryniarski et al. 2021), fooled as many, at a higher suspicion.
    """

    steps: int = 40
    step_size: float | None = None
    """Of the first step, in the unit of the images; None is epsilon / 4."""
    emphasis: float = 4.0
    """How much more the loss counts that an image still lacks; 1 weighs both the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise ConfigError(f"expected step_size in (0, 1], or None for epsilon / 4, got {self.step_size}")
        if not 1 <= self.emphasis < torch.inf:
            raise ConfigError(f"expected an emphasis of 1 or more, got {self.emphasis}; 4 is the default")

    def require_model(self, model: Model) -> None:
        if not isinstance(model, Watched):
            raise ConfigError(
                f"expected a model that also gives its suspicion for StealthyPGD, got {type(model).__name__}; wrap it "
                "in Watched, or use PGD on a model without a detector"
            )

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        first_size = self.epsilon / 4 if self.step_size is None else self.step_size
        a_BCHW = uniform_start(x_BCHW, self.epsilon, generator)
        best = _Best.of(x_BCHW)
        for step in range(self.steps):
            up = model.gradient(a_BCHW, partial(_wrongness, y_B=y_B))
            down = model.gradient(a_BCHW, _inconspicuousness)
            is_fooled_B = best.keep(a_BCHW, up.logits_BK, y_B)
            direction_BCHW = self._direction(up, down, is_fooled_B)
            size = first_size * (1 - step / self.steps)
            a_BCHW = project(a_BCHW + size * direction_BCHW.sign(), x_BCHW, self.epsilon)
        best.keep(a_BCHW, model.logits(a_BCHW), y_B)
        return best.images_BCHW

    def scored_logits(self, model: Model, images_BCHW: Tensor) -> Tensor:
        return model(images_BCHW)[:, :-1]

    def _direction(self, up: Evaluated, down: Evaluated, is_fooled_B: Tensor) -> Tensor:
        emphasis_B111 = torch.where(is_fooled_B, self.emphasis, 1 / self.emphasis)[:, None, None, None]
        return _levelled(up.gradient_BCHW) + emphasis_B111 * _levelled(down.gradient_BCHW)


class _Best(NamedTuple):
    """The best of each image so far: fooling before not, then the least suspicious, or the nearest to fooling."""

    images_BCHW: Tensor
    is_fooled_B: Tensor
    cost_B: Tensor
    """Suspicion's logit of an image that fools; of another, by how much the true class leads."""

    @classmethod
    def of(cls, x_BCHW: Tensor) -> _Best:
        is_fooled_B = torch.zeros(len(x_BCHW), dtype=torch.bool, device=x_BCHW.device)
        return cls(x_BCHW.clone(), is_fooled_B, torch.full((len(x_BCHW),), torch.inf, device=x_BCHW.device))

    def keep(self, a_BCHW: Tensor, answer_BL: Tensor, y_B: Tensor) -> Tensor:
        """Take over what is better; return which of the images at hand fool."""
        logits_BK, suspicion_B = _parts(answer_BL, y_B)
        is_now_fooled_B = logits_BK.argmax(1) != y_B
        cost_B = torch.where(is_now_fooled_B, suspicion_B, -other_minus_true(logits_BK, y_B))
        is_alike_B = is_now_fooled_B == self.is_fooled_B
        is_better_B = torch.where(is_alike_B, cost_B < self.cost_B, is_now_fooled_B)
        for held, new in zip(self, (a_BCHW, is_now_fooled_B, cost_B), strict=True):
            held[is_better_B] = new[is_better_B]
        return is_now_fooled_B


def _wrongness(answer_BL: Tensor, y_B: Tensor) -> Tensor:
    return cross_entropy(_parts(answer_BL, y_B)[0], y_B)


def _inconspicuousness(answer_BL: Tensor) -> Tensor:
    return -answer_BL[:, -1]


def _parts(answer_BL: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
    logits_BK, suspicion_B = answer_BL[:, :-1], answer_BL[:, -1]
    if int(y_B.max()) >= logits_BK.shape[1]:
        raise DataError(
            f"expected labels below {logits_BK.shape[1]}, the number of the model's classes, got {int(y_B.max())}; "
            "attack the model that these labels are for"
        )
    return logits_BK, suspicion_B


def _levelled(gradient_BCHW: Tensor) -> Tensor:
    """Return each image's gradient over its mean absolute value; one of exactly zero stays that."""
    mean_B111 = gradient_BCHW.abs().mean(dim=(1, 2, 3), keepdim=True)
    return gradient_BCHW / mean_B111.clamp_min(torch.finfo(torch.float32).tiny)
