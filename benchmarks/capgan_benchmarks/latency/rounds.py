"""Time contestants in rounds: in each every one has a turn of some queries, so that a slow minute slows all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.contestant import Contestant
from capgan_benchmarks.latency.protocol import Protocol, least_queries
from capgan_benchmarks.statistics import percentile
from capgan_edge.runtime.frames import Frames

Batches = Sequence[NDArray[np.uint8]]
"""Given in turn, the same to every contestant."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of every query, by round: from frames to logits, and in the engine alone."""

    end_to_end_ms: list[list[float]] = field(default_factory=list)
    engine_ms: list[list[float]] = field(default_factory=list)

    @property
    def host_ms(self) -> list[list[float]]:
        """The rest of each query."""
        return [[max(0.0, whole - part) for whole, part in zip(*turns, strict=True)]
                for turns in zip(self.end_to_end_ms, self.engine_ms, strict=True)]  # fmt: skip

    def medians_ms(self) -> list[float]:
        """Return the median of each round."""
        return [percentile(turn, 50) for turn in self.end_to_end_ms]


def time_in_rounds(
    contestants: Sequence[Contestant],
    batches_of: Mapping[str, Sequence[Frames]],
    protocol: Protocol,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Timed]:
    """Warm everyone up, then time round by round.

    Args:
        contestants: with unique names.
        batches_of: what each is given, by name, all of one batch size.
        protocol: how much.
        advance: called after every turn.
    """
    held = {each.name: Timed() for each in contestants}
    assert len(held) == len(contestants)
    batch = len(batches_of[contestants[0].name][0])
    least = least_queries(protocol.scenario, batch, min_queries=protocol.min_queries, is_mlperf=protocol.is_mlperf)
    turn_s, turn_queries = protocol.min_seconds / protocol.num_rounds, math.ceil(least / protocol.num_rounds)
    for each in contestants:
        _queries(each, batches_of[each.name], protocol.warm_up_seconds, protocol.warm_up_queries)
    for index in range(protocol.num_rounds):
        for each in contestants if index % 2 == 0 else reversed(contestants):
            _queries(each, batches_of[each.name], 0.0, protocol.num_settling)
            whole_ms, engine_ms = _queries(each, batches_of[each.name], turn_s, turn_queries)
            held[each.name].end_to_end_ms.append(whole_ms)
            held[each.name].engine_ms.append(engine_ms)
            advance()
    return held


def _queries(
    contestant: Contestant, batches: Sequence[Frames], min_s: float, least: int
) -> tuple[list[float], list[float]]:
    """Run at least so many queries for at least so long, one after the other."""
    whole_ms: list[float] = []
    engine_ms: list[float] = []
    call, engine, clock = contestant.call, contestant.engine, time.perf_counter
    until_s = clock() + min_s
    while len(whole_ms) < least or (min_s > 0 and clock() < until_s):
        frames = batches[len(whole_ms) % len(batches)]
        before_s, started_s = engine.total_s, clock()
        call(frames)
        ended_s = clock()
        whole_ms.append(1000 * (ended_s - started_s))
        engine_ms.append(1000 * (engine.total_s - before_s))
    return whole_ms, engine_ms
