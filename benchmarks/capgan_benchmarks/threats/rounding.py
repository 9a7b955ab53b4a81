"""From what an attack made to frames of 8 bits a colour, never outside its budget; and what rounding cost it.

Shapes: N images, C channel, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import Attack

_SLACK = 1e-6
"""Of a level: 8/255 times 255 may come out just below 8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundingLoss:
    """How the attack fared before and after rounding, by the labels of one model on both."""

    judge: str
    """Whose labels: whoever is scored where it takes floats, else its twin."""
    n: int
    num_right_float: int
    num_right_rounded: int

    @property
    def points(self) -> float:
        """Percentage points of accuracy that rounding gave back; below 0 where it helped the attack."""
        return 100 * (self.num_right_rounded - self.num_right_float) / self.n


def epsilon_of(attack: Attack) -> float | None:
    """Return the L-infinity budget of an attack, also of one inside EOT; None where it has none, as CW."""
    from capgan_edge.attacks import EOT, LinfAttack

    if isinstance(attack, EOT):
        return epsilon_of(attack.attack)
    return attack.epsilon if isinstance(attack, LinfAttack) else None


def levels_within(epsilon: float) -> int:
    """Return how many whole levels of 255 lie within epsilon."""
    return math.floor(255 * epsilon + _SLACK)


def frames_within(x_NCHW: Tensor, originals_NHWC: NDArray[np.uint8], epsilon: float | None) -> NDArray[np.uint8]:
    """Return the nearest 8-bit frames within epsilon of the originals.

    Where the nearest level lies outside, which can be only where epsilon is no whole number of levels, the value is
    rounded towards the original instead. Without an epsilon the nearest level is taken as it is.
    """
    levels_NHWC = (x_NCHW.detach().cpu() * 255).round().permute(0, 2, 3, 1).numpy().astype(np.int64)
    assert levels_NHWC.shape == originals_NHWC.shape
    if epsilon is not None:
        most, original_NHWC = levels_within(epsilon), originals_NHWC.astype(np.int64)
        levels_NHWC = levels_NHWC.clip(original_NHWC - most, original_NHWC + most)
    return np.ascontiguousarray(levels_NHWC.clip(0, 255).astype(np.uint8))
