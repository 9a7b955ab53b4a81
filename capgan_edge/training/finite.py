"""A loss that is no number ends a run, before its weights are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from capgan_edge.errors import TrainingError


def stop_if_not_finite(losses: Mapping[str, float], run_path: Path, *, epoch: int, step: int) -> None:
    """Raise TrainingError where a loss of this step is NaN or infinite; epochs and steps count from 0."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"expected finite losses, got {losses[bad[0]]} for {', '.join(bad)} in epoch {epoch + 1}, step {step}; "
            f"the last good checkpoint in {run_path} is kept: train in a new folder at a lower rate"
        )
