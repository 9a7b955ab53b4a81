"""Durations over a run: percentiles of all of them, and of each stretch of time."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import FiniteFloat

from capgan_benchmarks.latency.sample import allowed_percentile
from capgan_benchmarks.statistics import percentile
from capgan_edge.runtime.fields import Count, Listed, Record

_NUM_STRETCHES = 60


class Percentiles(Record):
    """Milliseconds; None where fewer than ten of the sample lie beyond."""

    n: Count
    p50_ms: FiniteFloat
    p90_ms: FiniteFloat | None
    p99_ms: FiniteFloat | None
    p99_9_ms: FiniteFloat | None
    max_ms: FiniteFloat


class Stretch(Record):
    """One of up to 60 equal stretches of a run; one in which nothing happened is left out."""

    at_s: FiniteFloat
    """Its middle, from the start of the run."""
    n: Count
    p50_ms: FiniteFloat
    p99_ms: FiniteFloat
    """By index, also of a few: the slowest of less than a hundred."""


class OverTime(Record):
    """All of it."""

    whole: Percentiles | None
    """None where there is not a single duration."""
    stretches: Listed[Stretch]


def over_time(samples: Sequence[tuple[float, float]], length_s: float) -> OverTime:
    """Return what is said of durations (seconds from the start, milliseconds) in a run of this length."""
    parts: dict[int, list[float]] = {}
    for at_s, took_ms in samples:
        parts.setdefault(min(_NUM_STRETCHES - 1, int(at_s / length_s * _NUM_STRETCHES)), []).append(took_ms)
    stretches = [
        Stretch(at_s=(number + 0.5) * length_s / _NUM_STRETCHES, n=len(held), p50_ms=percentile(held, 50),
                p99_ms=percentile(held, 99))
        for number, held in sorted(parts.items())
    ]  # fmt: skip
    return OverTime(whole=_whole([took_ms for _, took_ms in samples]), stretches=tuple(stretches))


def _whole(durations_ms: list[float]) -> Percentiles | None:
    if not durations_ms:
        return None
    return Percentiles(
        n=len(durations_ms),
        p50_ms=percentile(durations_ms, 50),
        p90_ms=allowed_percentile(durations_ms, 90),
        p99_ms=allowed_percentile(durations_ms, 99),
        p99_9_ms=allowed_percentile(durations_ms, 99.9),
        max_ms=max(durations_ms),
    )
