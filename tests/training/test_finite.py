"""Losses that are no numbers end a run with one line that says which, where, and what is kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from capgan_edge.errors import TrainingError
from capgan_edge.training.finite import stop_if_not_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_every_loss_that_is_no_number_is_named(bad: float) -> None:
    losses = {"l1": 0.5, "gan": bad, "cycle": bad}
    said = rf"got {bad} for gan, cycle in epoch 3, step 7; the last good checkpoint in runs/a is kept"
    with pytest.raises(TrainingError, match=said):
        stop_if_not_finite(losses, Path("runs/a"), epoch=2, step=7)


def test_large_losses_are_no_reason_to_stop() -> None:
    stop_if_not_finite({"l1": 1e300, "gan": 0.0}, Path("runs/a"), epoch=0, step=0)
