"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler's state."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch

from capgan_edge.errors import ConfigError

ScheduleName = Literal["one-cycle", "cosine", "steps"]
WARM_UP_SHARE = 0.2


def check_schedule(name: str) -> None:
    """Raise ConfigError where there is no such schedule."""
    if name not in get_args(ScheduleName):
        raise ConfigError(
            f"expected a schedule among {', '.join(get_args(ScheduleName))}, got {name!r}; name one of these"
        )


def learning_rate(name: ScheduleName, peak: float, step: int, total_steps: int) -> float:
    """Return the rate at `step` of `total_steps`.

    `one-cycle` rises linearly over the first fifth and falls linearly to 0 (Smith 2018), `cosine` falls from the peak
    to 0 (the paper, Section IV-A), `steps` divides by ten at one half and three quarters (Madry's challenge).
    """
    share = step / max(1, total_steps)
    if name == "one-cycle":
        return peak * (share / WARM_UP_SHARE if share < WARM_UP_SHARE else (1 - share) / (1 - WARM_UP_SHARE))
    if name == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * share))
    return peak * (1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
