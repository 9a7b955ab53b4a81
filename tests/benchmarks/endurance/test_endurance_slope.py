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
    assert memory.started_mib == pytest.approx(200, abs=1)
    assert memory.first_mib == pytest.approx(300, abs=1)
    assert memory.warm_up_s == pytest.approx(T[-1] / 5)
    assert len(memory.over_time) <= 120
    assert memory_of([(at_s, 200 + at_s / 60) for at_s in T]).slope_mib_per_hour == pytest.approx(60)


@pytest.mark.parametrize("time_constant_s", [60.0, 180.0, 300.0])
def test_what_levels_off_is_no_leak(time_constant_s: float) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(1200.0)
    level = 200 + 20 * (1 - np.exp(-t / time_constant_s))
    memory = memory_of(list(zip(t, level + rng.normal(0, 0.05, len(t)), strict=True)))
    assert memory.grows is False
    assert memory.rise_mib is not None
    assert memory.late_rise_mib is not None
    assert memory.late_rise_mib < 0.25 * memory.rise_mib or memory.rise_mib < 1


@pytest.mark.parametrize(("bytes_per_frame", "grows"), [(256, True), (8, False)])
def test_a_leak_of_an_object_a_frame_is_seen_and_less_than_any_object_is_not_one(
    bytes_per_frame: int, grows: bool
) -> None:
    rng = np.random.default_rng(4)
    t = np.arange(1200.0)
    level = np.floor(200 + 30 * t * bytes_per_frame / 2**20)  # the allocator takes a MiB at once
    memory = memory_of(list(zip(t, level + rng.normal(0, 0.05, len(t)), strict=True)))
    assert memory.grows is grows
    assert ("no growth" not in memory.slope_said) is grows


def test_a_tiny_rise_however_sure_is_none_and_a_short_run_is_not_judged() -> None:
    sure = memory_of([(at_s, 200 + 0.5 * at_s / T[-1]) for at_s in T])
    assert sure.slope_interval_95 is not None
    assert sure.slope_interval_95[0] > 0
    assert sure.grows is False
    short = memory_of([(at_s / 10, 200 + at_s / 10) for at_s in T])  # 60 MiB in a minute
    assert short.grows is None
    assert "too short" in short.slope_said


def test_a_few_samples_say_nothing_of_a_slope() -> None:
    memory = memory_of([(0.0, 100.0), (1.0, 200.0)])
    assert (memory.slope_mib_per_hour, memory.grows, memory.n) == (None, None, 2)
