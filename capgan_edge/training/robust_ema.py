"""The running average of a network's weights, which is watched and shipped."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class WeightAverage(Generic[ModuleT]):
    """`module` is a frozen twin in eval mode; running statistics are averaged like weights, counters are copied."""

    def __init__(self, source: ModuleT, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: ModuleT, step: int) -> None:
        """Move towards the weights of `source` by 1 - decay, and by more in a stage's first steps (from 0).

        A stage begins far from where it ends: at `step` the average reaches back over about a tenth of its steps.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, current = self.module.state_dict(), source.state_dict()
        floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in floats], [current[name] for name in floats], 1 - decay)
        for name in averaged.keys() - set(floats):
            averaged[name].copy_(current[name])
