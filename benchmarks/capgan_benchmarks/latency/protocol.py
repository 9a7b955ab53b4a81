"""How latency is measured: what a query is, how many, for how long, in which rounds. Part of every record.

Figures of two protocols say nothing of one another, so records of different ones are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.fields import Count, Listed, Name, Record, Sha256

Scenario = Literal["single-stream", "multi-stream", "offline"]
Positive = Annotated[FiniteFloat, Field(gt=0)]
BATCHES: dict[Scenario, tuple[int, ...]] = {"single-stream": (1,), "multi-stream": (8,), "offline": (64,)}
"""Frames of a query; MLPerf's first two are fixed."""
HEADLINE_PERCENT: dict[Scenario, float | None] = {"single-stream": 90.0, "multi-stream": 99.0, "offline": None}
"""The percentile that MLPerf ranks by; offline ranks by throughput."""
MLPERF_SECONDS = 600.0
_MLPERF_QUERIES: dict[Scenario, int] = {"single-stream": 24_576, "multi-stream": 270_336}
"""For 99 % confidence of the percentile (inference_rules.adoc, July 2026)."""
_MLPERF_OFFLINE_SAMPLES = 24_576


class FramesIdentity(Record):
    """What was classified."""

    data: Name
    height_px: Annotated[int, Field(ge=1)]
    width_px: Annotated[int, Field(ge=1)]
    sha256: Sha256
    """Of all frames, in order."""


class Protocol(Record):
    """All that two records must share to be compared."""

    scenario: Scenario
    batches: Listed[Annotated[int, Field(ge=1)]]
    """Frames of a query; each is a measurement of its own."""
    threads: Annotated[int, Field(ge=1)]
    """CPU threads of every contestant."""
    is_mlperf: bool
    min_seconds: Positive
    """Of the counted queries of one contestant at one batch size, all rounds together."""
    min_queries: Annotated[int, Field(ge=1)]
    num_rounds: Annotated[int, Field(ge=2)]
    """In each every contestant has a turn; every second round runs backwards."""
    warm_up_seconds: Annotated[FiniteFloat, Field(ge=0)]
    warm_up_queries: Count
    """Before the first round, of each contestant, not counted."""
    num_settling: Count
    """Queries at the beginning of each turn that are not counted: caches and threads were another's."""
    frames: FramesIdentity
    camera_frame: tuple[int, int] | None = None
    """Height and width of the frames that `classify` was given; None is the graph's own."""


def choose_batches(scenario: Scenario, wanted: Sequence[int], *, is_mlperf: bool) -> tuple[int, ...]:
    """Return the batch sizes to measure.

    Raises:
        ConfigError: MLPerf's rules fix another.
    """
    fixed = BATCHES[scenario]
    if is_mlperf and scenario != "offline" and wanted and tuple(wanted) != fixed:
        raise ConfigError(
            f"expected --batch {fixed[0]} for {scenario} by MLPerf's rules, got {', '.join(map(str, wanted))}; "
            "leave --batch or --mlperf out"
        )
    return tuple(dict.fromkeys(wanted)) or fixed


def least_queries(scenario: Scenario, batch: int, *, min_queries: int, is_mlperf: bool) -> int:
    """Return how many queries of a batch size are counted at least."""
    if not is_mlperf:
        return min_queries
    return _MLPERF_QUERIES.get(scenario) or -(-_MLPERF_OFFLINE_SAMPLES // batch)
