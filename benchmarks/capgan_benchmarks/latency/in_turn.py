"""Time a few calls in turn, so that a machine that slows down slows all of them alike: for the demo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capgan_benchmarks.statistics import percentile
from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyConfig:
    """How long to time."""

    num_warm_up: int = 30
    """Rounds that are run first and not counted."""
    num_rounds: int = 300
    """Rounds counted; each calls everything once."""

    def __post_init__(self) -> None:
        if self.num_warm_up < 0 or self.num_rounds < 10:
            raise ConfigError(
                f"expected num_warm_up >= 0 and num_rounds >= 10, got {self.num_warm_up} and {self.num_rounds}; "
                "the defaults are 30 and 300"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Wall time of one call, over n calls."""

    name: str
    n: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    mean_ms: float


def time_in_turn(calls: Mapping[str, Callable[[], object]], config: LatencyConfig) -> dict[str, Latency]:
    """Time each call once a round; every second round runs backwards, so that none always follows another."""
    names = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(config.num_warm_up + config.num_rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            started_s = time.perf_counter()
            calls[name]()
            elapsed_ms = 1000 * (time.perf_counter() - started_s)
            if turn >= config.num_warm_up:
                times_ms[name].append(elapsed_ms)
    return {name: _latency(name, values) for name, values in times_ms.items()}


def _latency(name: str, values_ms: list[float]) -> Latency:
    return Latency(
        name=name,
        n=len(values_ms),
        min_ms=min(values_ms),
        p50_ms=percentile(values_ms, 50),
        p90_ms=percentile(values_ms, 90),
        mean_ms=sum(values_ms) / len(values_ms),
    )
