"""The suspicion threshold of an artifact: tuned on clean frames through that very artifact. Shapes: N frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """A threshold, and the share of false alarms on frames that it was not tuned on."""

    threshold: float
    """A frame raises an alarm where its suspicion is above it."""
    measured_rate: float
    n: int
    """Clean frames in all: one half tuned the threshold, the other measured its rate."""


def require_rate(false_alarms: float) -> None:
    """Raise ConfigError where a share of false alarms cannot be asked for."""
    if not 0 < false_alarms < 1:
        raise ConfigError(f"expected a share of false alarms in (0, 1), got {false_alarms}; the default is 0.01")


def tuned_threshold(suspicion_N: NDArray[np.float32], *, false_alarms: float, seed: int) -> Tuned:
    """Tune on a random half of the clean frames, and measure on the other.

    Of m frames it is the ceil((m + 1)(1 - rate))-th smallest suspicion: on new frames of the same kind the expected
    share of false alarms is then at most the rate asked for, whatever the distribution (split conformal prediction).

    Raises:
        ConfigError: the rate is out of range, or there are too few frames for it.
    """
    require_rate(false_alarms)
    order = np.random.default_rng(seed).permutation(len(suspicion_N))
    tuning_M, measuring_N = np.sort(suspicion_N[order[::2]]), suspicion_N[order[1::2]]
    rank = math.ceil((len(tuning_M) + 1) * (1 - false_alarms))
    if rank > len(tuning_M) or not len(measuring_N):
        raise ConfigError(
            f"expected at least {2 * math.ceil(1 / false_alarms - 1)} clean frames to tune a threshold with "
            f"{100 * false_alarms:g} % false alarms, got {len(suspicion_N)}; give more, or a higher --false-alarms"
        )
    threshold = float(tuning_M[rank - 1])
    measured = float((measuring_N > threshold).mean())
    return Tuned(threshold=threshold, measured_rate=measured, n=len(suspicion_N))
