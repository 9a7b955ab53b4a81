"""A slope that is growth, and one that is noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from capgan_benchmarks.endurance.memory import memory_of
from capgan_benchmarks.endurance.slope import fit_slope

T = np.arange(600.0)


def related(rng: np.random.Generator, phi: float) -> NDArray[np.float64]:
    """Noise whose neighbours resemble each other."""
    noise = rng.normal(0, 1, len(T))
    for number in range(1, len(T)):
        noise[number] += phi * noise[number - 1]
    return noise


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_noise_alone_is_taken_for_growth_in_no_more_than_its_share_of_runs(phi: float) -> None:
    rng = np.random.default_rng(0)
    num_growing = sum(fit_slope(list(T), list(200 + related(rng, phi))).is_growth for _ in range(200))
    assert num_growing <= 0.08 * 200  # 2.5 % are beyond the upper end; the rest is chance


def test_a_leak_within_the_noise_of_single_samples_is_growth_and_its_slope_is_right() -> None:
    rng = np.random.default_rng(1)
    slope = fit_slope(list(T), list(200 + 0.002 * T + rng.normal(0, 0.5, len(T))))
    assert slope.is_growth
    assert slope.low < 0.002 < slope.high


@pytest.mark.parametrize("num_steps", [3, 10, 40])
def test_a_staircase_is_growth(num_steps: int) -> None:
    assert fit_slope(list(T), list(200 + np.floor(T / len(T) * num_steps))).is_growth


@pytest.mark.parametrize("at_s", [150, 300, 450])
def test_a_single_step_is_none(at_s: int) -> None:
    assert not fit_slope(list(T), list(200.0 + (at_s < T))).is_growth


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_what_stays_or_falls_does_not_grow(sign: float) -> None:
    slope = fit_slope(list(T), list(200 + sign * T))
    assert slope.value == pytest.approx(sign)
    assert not slope.is_growth


def test_the_start_of_a_run_is_not_held_against_it() -> None:
    rng = np.random.default_rng(2)
    samples = [(at_s, 200 + min(at_s, 100.0) + rng.normal(0, 0.1)) for at_s in T]
    memory = memory_of(samples)
    assert memory.grows is False
    assert memory.largest_mib > 299
    assert memory.first_mib == pytest.approx(300, abs=1)
    assert len(memory.over_time) <= 120
    assert memory_of([(at_s, 200 + at_s / 60) for at_s in T]).slope_mib_per_hour == pytest.approx(60)


def test_a_few_samples_say_nothing_of_a_slope() -> None:
    memory = memory_of([(0.0, 100.0), (1.0, 200.0)])
    assert (memory.slope_mib_per_hour, memory.grows, memory.n) == (None, None, 2)
