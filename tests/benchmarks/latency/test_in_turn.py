"""Timing in turn: everything is called as often, warm-up is not counted, and slower is slower."""

from __future__ import annotations

import time

import pytest

from capgan_benchmarks.latency.in_turn import LatencyConfig, time_in_turn
from capgan_edge.errors import ConfigError


def test_calls_take_turns_and_every_second_round_runs_backwards() -> None:
    order: list[str] = []
    config = LatencyConfig(num_warm_up=2, num_rounds=10)
    held = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, config)
    assert "".join(order) == "abba" * 6
    assert held["a"].n == held["b"].n == 10


def test_a_slower_call_is_measured_slower() -> None:
    held = time_in_turn({"fast": lambda: None, "slow": lambda: time.sleep(0.02)}, LatencyConfig(num_rounds=10))
    assert held["slow"].p50_ms > held["fast"].p50_ms
    assert held["slow"].min_ms <= held["slow"].p50_ms <= held["slow"].p90_ms


def test_too_few_rounds_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_rounds >= 10"):
        LatencyConfig(num_rounds=9)
