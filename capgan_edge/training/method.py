"""What a purifier's run asks of the method that it trains by: CAP-GAN with or without cycle, APE-GAN, HGD.

Batches, watch, checkpoints, resuming, log and figures are the run's, and the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from capgan_edge.models.purifier import Purifier
from capgan_edge.training.pairs import Pair

Step = Callable[[Pair], dict[str, Tensor]]
"""Update the networks by one pair; return the losses by name."""


class Optimized(NamedTuple):
    """An optimizer and when it is at work."""

    optimizer: torch.optim.Optimizer
    peak_rate: float
    first_epoch: int = 0
    """Before it the optimizer makes no step, and has no state to go on from."""


class Method(Protocol):
    """The networks of a method, and its steps."""

    @property
    def purifier(self) -> Purifier:
        """What is watched, and ships."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The trained networks by the names they have in checkpoints; the purifier is `t_ac`."""

    @property
    def optimizers(self) -> Mapping[str, Optimized]:
        """The optimizers by the names they have in checkpoints."""

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Of all losses that its steps return, in the log's order."""

    @property
    def warm_up_epochs(self) -> int:
        """Epochs before those of the whole method; the best of a run is never one of them."""

    def pair(self, x_BCHW: Tensor, y_B: Tensor) -> Pair:
        """Return a clean batch with its attacked twin."""

    def step_in(self, epoch: int) -> Step:
        """Return what an epoch (from 0) does with each pair."""
