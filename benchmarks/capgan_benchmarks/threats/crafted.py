"""What a scenario gives: attacked frames with what they cost. Shapes: N images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.attacked_sets import AttackedSet
from capgan_benchmarks.threats.rounding import RoundingLoss


@dataclass(frozen=True, kw_only=True, slots=True)
class CraftedSet(AttackedSet):
    """An attacked set of one scenario; `knowledge` is who made the gradient, or answered the queries."""

    scenario: str
    """Name of the threat."""
    queries_N: NDArray[np.int64]
    """How often the attack asked about each image."""
    gradients_N: NDArray[np.int64]
    """How many of those queries were taken back to the image."""
    l2_N: NDArray[np.float64]
    """Euclidean distance of each frame, rounded, from its original; pixels in [0, 1]."""
    rounding: RoundingLoss
    num_lost_queries: int = 0
    """Frames sent to a runner that raised instead of answering; they are in `queries_N` once more, when answered."""
    num_confident: int | None = None
    """Images that fool what was attacked with the margin that the attack asks for (CW's kappa), before rounding; None
    where it asks for none."""
    num_fooled: int | None = None
    """Images that fool what was attacked, by its floats, before rounding; None where that is not known any more."""
    sum_l2_fooled: float = 0.0
    """Of these images' `l2_N`."""
    seconds: float
    """Wall time of the attack."""


def mean_l2(crafted: CraftedSet) -> float | None:
    """Return the mean distance of the images that fool what was attacked; None where none does, or it is not known."""
    return crafted.sum_l2_fooled / crafted.num_fooled if crafted.num_fooled else None


def joined(parts: Sequence[CraftedSet]) -> CraftedSet:
    """Return the batches of one attack in one scenario as one set, in their order."""
    import torch

    first = parts[0]
    assert all((part.scenario, part.settings) == (first.scenario, first.settings) for part in parts)

    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    held = [part.rounding for part in parts]
    rounding = RoundingLoss(judge=held[0].judge, n=sum(each.n for each in held),
                            num_right_float=sum(each.num_right_float for each in held),
                            num_right_rounded=sum(each.num_right_rounded for each in held))  # fmt: skip
    arrays: dict[str, Any] = {
        name: all_of(name) for name in ("frames_NHWC", "labels_N", "queries_N", "gradients_N", "l2_N")
    }
    confident = [part.num_confident for part in parts if part.num_confident is not None]
    fooled = [part.num_fooled for part in parts if part.num_fooled is not None]
    return replace(first, x_NCHW=torch.cat([part.x_NCHW for part in parts]), rounding=rounding, **arrays,
                   num_confident=sum(confident) if confident else None,
                   num_fooled=sum(fooled) if len(fooled) == len(parts) else None,
                   sum_l2_fooled=sum(part.sum_l2_fooled for part in parts),
                   num_lost_queries=sum(part.num_lost_queries for part in parts),
                   seconds=sum(part.seconds for part in parts))  # fmt: skip
