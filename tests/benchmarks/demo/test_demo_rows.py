"""Which images the report shows."""

from __future__ import annotations

import numpy as np

from capgan_benchmarks.demo.config import PGD_NAME
from capgan_benchmarks.demo.pictures import heat_over, magnified_noise
from capgan_benchmarks.demo.rows import Choice, choose
from capgan_benchmarks.demo.scored import Scored

NAMES = ("yield", "stop", "parking")


def _scored(kind: str, labels: list[int], victim: list[int], purified: list[int]) -> Scored:
    n = len(labels)
    return Scored(kind=kind, frames_NHWC=np.zeros((n, 4, 4, 3), np.uint8), labels_N=np.array(labels),
                  victim_N=np.array(victim), purified_N=np.array(purified), suspicion_N=np.zeros(n))  # fmt: skip


def _choose(labels: list[int], clean: list[int], attacked: list[int], purified: list[int]) -> Choice:
    return choose(_scored("clean", labels, clean, labels), _scored(PGD_NAME, labels, attacked, purified), NAMES)


def test_the_first_fooled_image_of_each_class_is_shown_saved_or_not_and_then_failures() -> None:
    labels = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    clean = [0, 0, 2, 0, 1, 2, 0, 1, 2]  # image 1 is wrong even clean: never shown
    attacked = [1, 0, 0, 1, 0, 0, 1, 0, 2]  # image 8 withstands
    purified = [1, 1, 2, 1, 1, 2, 1, 0, 2]
    choice = _choose(labels, clean, attacked, purified)
    assert choice.grid == (0, 4, 2)
    assert choice.failures == (3, 6)
    assert choice.hero == 4
    assert "stop" in choice.hero_rule


def test_without_a_saved_stop_sign_the_hero_is_the_first_saved_one() -> None:
    choice = _choose([1, 0, 2], [1, 0, 2], [0, 1, 0], [0, 0, 2])
    assert choice.hero == 1
    assert choice.failures == ()


def test_where_none_is_saved_or_fooled_the_rule_says_so() -> None:
    lost = _choose([1, 0, 2], [1, 0, 2], [1, 1, 0], [1, 1, 0])
    assert lost.hero == 1
    assert "none was saved" in lost.hero_rule
    held = _choose([1, 0, 2], [1, 0, 2], [1, 0, 2], [1, 0, 2])
    assert (held.hero, held.grid, held.failures) == (0, (), ())
    assert "fooled the victim on none" in held.hero_rule


def test_pictures_of_noise_and_heat_do_not_overflow_and_take_a_flat_map() -> None:
    frame_HWC = np.full((4, 4, 3), 200, np.uint8)
    noise_HWC = magnified_noise(frame_HWC, frame_HWC + 8)
    assert set(noise_HWC.flatten()) == {191}
    assert set(magnified_noise(frame_HWC, frame_HWC - 200).flatten()) == {0}
    flat = heat_over(frame_HWC, np.ones((1, 1), np.float32))
    assert flat.shape == (128, 128, 3)
    bright = heat_over(frame_HWC, np.array([[0, 1], [0, 1]], np.float32))
    assert bright[:, 100:].mean() > bright[:, :28].mean()
