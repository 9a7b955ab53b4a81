"""A sample of durations and what is said of it: percentiles that n allows, spread, deadlines missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, FiniteFloat

from capgan_benchmarks.statistics import percentile
from capgan_edge.runtime.fields import Listed, Record, Share

DEADLINES_MS = (100 / 3, 50.0, 100.0)
"""30, 20 and 10 frames a second."""
_CONFIDENCE = 0.99
_TAIL = 10
"""Queries that must lie beyond a percentile before it is said."""
Ms = Annotated[FiniteFloat, Field(ge=0)]


class Misses(Record):
    """How many queries took longer than a deadline."""

    deadline_ms: Ms
    share: Share


class Summary(Record):
    """What is said of a sample; milliseconds of a query."""

    n: Annotated[int, Field(ge=1)]
    min_ms: Ms
    p50_ms: Ms
    p90_ms: Ms
    p95_ms: Ms
    p99_ms: Ms | None
    """None where n is less than 1,000: fewer than ten queries lie beyond it."""
    p99_9_ms: Ms | None
    """None where n is less than 10,000."""
    max_ms: Ms
    mean_ms: Ms
    cov_percent: Annotated[FiniteFloat, Field(ge=0)]
    """Coefficient of variation: standard deviation over mean."""
    frames_per_s: Annotated[FiniteFloat, Field(ge=0)]
    misses: Listed[Misses]


def summarise(durations_ms: Sequence[float], *, batch: int) -> Summary:
    """Return the summary of the durations of queries of `batch` frames each."""
    n, mean_ms = len(durations_ms), math.fsum(durations_ms) / len(durations_ms)
    variance = math.fsum((each - mean_ms) ** 2 for each in durations_ms) / (n - 1) if n > 1 else 0.0
    return Summary(
        n=n,
        min_ms=min(durations_ms),
        p50_ms=percentile(durations_ms, 50),
        p90_ms=percentile(durations_ms, 90),
        p95_ms=percentile(durations_ms, 95),
        p99_ms=allowed_percentile(durations_ms, 99),
        p99_9_ms=allowed_percentile(durations_ms, 99.9),
        max_ms=max(durations_ms),
        mean_ms=mean_ms,
        cov_percent=100 * math.sqrt(variance) / mean_ms if mean_ms > 0 else 0.0,
        frames_per_s=1000 * batch / mean_ms if mean_ms > 0 else 0.0,
        misses=tuple(Misses(deadline_ms=limit_ms, share=sum(each > limit_ms for each in durations_ms) / n)
                     for limit_ms in DEADLINES_MS),
    )  # fmt: skip


def allowed_percentile(durations_ms: Sequence[float], percent: float) -> float | None:
    """Return a percentile; None where fewer than ten of the sample can lie beyond it."""
    if len(durations_ms) * (100 - percent) / 100 < _TAIL - 1e-9:
        return None
    return percentile(durations_ms, percent)


def early_stopping_ms(durations_ms: Sequence[float], percent: float) -> float | None:
    """Return MLPerf's estimate of a percentile: with 99 % confidence no less than the true one; None for too small n.

    Of n queries the t - 1 slowest are dropped and the slowest of the rest is told, with the largest t for which at most
    t of n would take longer than the true percentile in less than 1 % of all runs.
    """
    ordered, beyond = sorted(durations_ms), 1 - percent / 100
    n, dropped, low = len(ordered), -1, 0.0
    for count in range(n + 1):
        low += math.exp(_log_binomial(n, count, beyond))
        if low > 1 - _CONFIDENCE:
            break
        dropped = count
    return ordered[n - dropped] if dropped >= 1 else None


def _log_binomial(n: int, count: int, probability: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return ways + count * math.log(probability) + (n - count) * math.log1p(-probability)
