"""Black and frozen frames are labelled; a dark scene and a still one with noise are neither."""

from __future__ import annotations

import numpy as np
import pytest
from footage import coloured

from capgan_edge.runtime.stream.health import HealthMonitor


def test_black_frames_are_black_with_a_sensors_noise_too() -> None:
    noise = np.random.default_rng(0).integers(0, 12, (480, 640, 3), dtype=np.uint8)
    assert HealthMonitor(5).label(np.zeros((48, 64, 3), np.uint8)) == "black"
    assert HealthMonitor(5).label(noise) == "black"


def test_a_night_with_a_lamp_is_not_black() -> None:
    night = np.full((480, 640, 3), 6, np.uint8)
    night[100:140, 300:340] = 240
    assert HealthMonitor(5).label(night) == "ok"


def test_a_frame_that_comes_again_and_again_is_frozen_until_it_changes() -> None:
    monitor = HealthMonitor(3)
    still = coloured("r")
    assert [monitor.label(still.copy()) for _ in range(5)] == ["ok", "ok", "frozen", "frozen", "frozen"]
    changed = still.copy()
    changed[1, 1, 0] += 1  # a single level of a single pixel is a sign of life
    assert monitor.label(changed) == "ok"
    assert monitor.label(still) == "ok"


@pytest.mark.parametrize("frozen_after", [0, 100])
def test_freezing_can_be_left_alone(frozen_after: int) -> None:
    monitor = HealthMonitor(frozen_after)
    assert {monitor.label(coloured("g")) for _ in range(20)} == {"ok"}


def test_a_frame_of_another_size_is_another_frame() -> None:
    monitor = HealthMonitor(2)
    assert monitor.label(coloured("r", size_px=(48, 64))) == "ok"
    assert monitor.label(coloured("r", size_px=(64, 48))) == "ok"
