"""Rounding to 8 bits stays within epsilon and is otherwise to the nearest level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from capgan_benchmarks.threats.rounding import RoundingLoss, epsilon_of, frames_within, levels_within
from capgan_edge.attacks import CWL2, EOT, PGD, AutoAttack
from capgan_edge.attacks.base import project

FRAMES = arrays(np.uint8, (1, 2, 3, 3))
MOVES = arrays(np.float32, (1, 3, 2, 3), elements=st.floats(-1, 1, width=32))


@given(FRAMES, MOVES, st.floats(0, 1))
def test_no_frame_leaves_epsilon_and_each_value_is_the_nearest_that_does_not(
    frames_NHWC: NDArray[np.uint8], move_NCHW: NDArray[np.float32], epsilon: float
) -> None:
    x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
    attacked_NCHW = project(x_NCHW + torch.from_numpy(move_NCHW), x_NCHW, epsilon)
    rounded_NHWC = frames_within(attacked_NCHW, frames_NHWC, epsilon)
    distance_NHWC = np.abs(rounded_NHWC.astype(int) - frames_NHWC.astype(int))
    assert distance_NHWC.max() <= 255 * epsilon + 1e-4
    wanted_NHWC = attacked_NCHW.double().permute(0, 2, 3, 1).numpy() * 255
    error_NHWC = np.abs(rounded_NHWC - wanted_NHWC)
    is_cut_NHWC = np.abs(np.rint(wanted_NHWC) - frames_NHWC) > 255 * epsilon
    assert error_NHWC[~is_cut_NHWC].max(initial=0) <= 0.5 + 1e-3
    assert error_NHWC.max() < 1 + 1e-3


def test_a_value_is_rounded_towards_the_original_where_the_nearest_level_is_outside() -> None:
    original_NHWC = np.full((1, 1, 1, 3), 100, np.uint8)
    attacked_NCHW = torch.tensor([107.65, 92.35, 104.6]).reshape(1, 3, 1, 1) / 255
    assert frames_within(attacked_NCHW, original_NHWC, 0.03).flatten().tolist() == [107, 93, 105]  # 0.03 is 7.65/255
    assert frames_within(attacked_NCHW, original_NHWC, None).flatten().tolist() == [108, 92, 105]


def test_a_whole_number_of_255ths_is_that_many_levels() -> None:
    assert [levels_within(level / 255) for level in range(256)] == list(range(256))
    assert levels_within(7.99 / 255) == 7


def test_the_budget_is_found_inside_eot_and_is_none_for_an_attack_in_l2() -> None:
    assert epsilon_of(EOT(attack=PGD(epsilon=4 / 255))) == 4 / 255
    assert epsilon_of(AutoAttack(epsilon=1 / 255)) == 1 / 255
    assert epsilon_of(CWL2()) is None


def test_points_are_what_rounding_gave_back() -> None:
    assert RoundingLoss(judge="f", n=8, num_right_float=1, num_right_rounded=2).points == pytest.approx(12.5)
