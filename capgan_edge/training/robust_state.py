"""What a robust run remembers between epochs beside its weights: the attack as it stands, and its stage's history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgan_edge.errors import CheckpointError
from capgan_edge.training.robust_overfitting import Watched

MAX_STEPS = 1000


@dataclass(kw_only=True, slots=True)
class RobustState:
    """Stored in every checkpoint, so that a resumed run rolls back where an unbroken one would have."""

    attack_steps: int
    """Of the training attack; 0 is N-FGSM."""
    history: list[Watched]
    """Of the stage at hand, without the epochs that were rolled back."""


def state_from(state: dict[str, Any], run_path: Path) -> RobustState:
    """Return what a checkpoint stored, checked."""
    steps, history = state.get("attack_steps"), state.get("history")
    is_counted = type(steps) is int and 0 <= steps <= MAX_STEPS
    is_listed = isinstance(history, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(value) in (int, float) for value in pair)
        for pair in history
    )
    if not is_counted or not is_listed:
        raise CheckpointError(
            f"{run_path}: expected the state of a robust run (attack_steps, history), got {steps!r:.40} and "
            f"{history!r:.40}; train again"
        )
    return RobustState(attack_steps=int(steps or 0), history=[Watched(*pair) for pair in history or []])
