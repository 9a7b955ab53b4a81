"""Catastrophic overfitting: a purifier that learns to fool its own training attack, and what is done about it.

One-step attacks invite it (Wong et al. 2020): within an epoch accuracy on the training attack rises and accuracy under
PGD falls to nothing. The history of a stage decides; no state is kept beside it, so that a resumed run decides alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Watched(NamedTuple):
    """What one epoch of a stage left behind."""

    attacked_percent: float
    """Accuracy on the training attack, over the epoch's own images."""
    pgd10_percent: float
    """Accuracy under PGD-10, on held-out images."""


def has_collapsed(history: Sequence[Watched], points: float) -> bool:
    """Whether the last epoch lost `points` of PGD-10 against the best before it, and gained on its own attack."""
    if len(history) < 2:
        return False
    *before, last = history
    has_fallen = last.pgd10_percent < max(epoch.pgd10_percent for epoch in before) - points
    return has_fallen and last.attacked_percent > before[-1].attacked_percent


def more_steps(steps: int) -> int:
    """Return the steps of the training attack after a collapse: PGD-2 after N-FGSM, then one more each time."""
    return max(steps, 1) + 1
