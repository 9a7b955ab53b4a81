"""Frames of any size reach the graph; frames of the wrong kind are told apart, each with its own remedy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgan_edge.errors import InputError
from capgan_edge.runtime.frames import checked_frames, fit_frames


class Case(NamedTuple):
    name: str
    frames: Any
    message: str


NAN_FRAME = np.full((8, 8, 3), 0.5, np.float32)
NAN_FRAME[0, 0] = np.nan, np.inf, 0

CASES = [
    Case("floats in [0, 1]", np.full((8, 8, 3), 0.5, np.float32), r"got float32 \[8, 8, 3\]; .*multiply by 255"),
    Case("floats in [0, 255]", np.full((8, 8, 3), 99.0), "got float64 .*clip to"),
    Case("floats with NaN", NAN_FRAME, "1 values are NaN and 1 infinite"),
    Case("other integers", np.zeros((8, 8, 3), np.int64), r"got int64 .*astype\(np.uint8\)"),
    Case("booleans", np.zeros((8, 8, 3), np.bool_), "got bool"),
    Case("objects", np.array([None]), "got object .*list of frames"),
    Case("grey", np.zeros((8, 8), np.uint8), r"shape \[8, 8\]; grey"),
    Case("grey with a channel", np.zeros((2, 8, 8, 1), np.uint8), "grey"),
    Case("four channels", np.zeros((8, 8, 4), np.uint8), "drop alpha"),
    Case("channels first", np.zeros((2, 3, 8, 8), np.uint8), "channels come first"),
    Case("two channels", np.zeros((8, 8, 2), np.uint8), "give three channels"),
    Case("rank 1", np.zeros(8, np.uint8), "give one frame, a batch"),
    Case("rank 5", np.zeros((1, 1, 8, 8, 3), np.uint8), "give one frame, a batch"),
    Case("no pixels", np.zeros((1, 0, 8, 3), np.uint8), "no pixels"),
    Case("no array", "frame.png", "got str"),
    Case("None", None, "got NoneType"),
    Case("a bad frame in a list", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)], "frame 1: "),
    Case("batches in a list", [np.zeros((1, 8, 8, 3), np.uint8)], "frame 0: "),
    Case("a list of numbers", [1, 2], "frame 0: .* got int"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_frames_of_the_wrong_kind_are_refused_with_their_remedy(case: Case) -> None:
    with pytest.raises(InputError, match=case.message) as caught:
        checked_frames(case.frames)
    assert "\n" not in str(caught.value)


def test_the_remedies_work_as_written() -> None:
    floats = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)
    assert len(checked_frames((floats * 255).round().astype(np.uint8))) == 1
    grey = np.zeros((8, 9, 1), np.uint8)
    assert len(checked_frames(np.repeat(grey.reshape(*grey.shape[:2], 1), 3, axis=-1))) == 1
    assert len(checked_frames(np.moveaxis(np.zeros((2, 3, 8, 8), np.uint8), -3, -1))) == 2


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4),
    target=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    level=st.integers(0, 255),
)
def test_frames_of_any_size_fit_and_keep_a_flat_colour(
    sizes: list[tuple[int, int]], target: tuple[int, int], level: int
) -> None:
    frames = [np.full((*size, 3), level, np.uint8) for size in sizes]
    batch_NHWC = fit_frames(checked_frames(frames), target)
    assert batch_NHWC.shape == (len(sizes), *target, 3)
    assert batch_NHWC.dtype == np.uint8
    assert (batch_NHWC == level).all()


def test_shrinking_averages_rather_than_skips_pixels() -> None:
    stripes_HWC = np.zeros((32, 32, 3), np.uint8)
    stripes_HWC[:, ::2] = 255
    inner_HWC = fit_frames([stripes_HWC], (8, 8))[0, 1:-1, 1:-1]
    assert abs(inner_HWC.astype(int) - 127.5).max() <= 20


def test_height_and_width_are_not_swapped() -> None:
    frame_HWC = np.zeros((20, 10, 3), np.uint8)
    frame_HWC[10:] = 255
    fitted_HWC = fit_frames(frame_HWC[None], (4, 6))[0]
    assert fitted_HWC[0].max() == 0
    assert fitted_HWC[-1].min() == 255


def test_frames_of_the_right_size_are_not_copied() -> None:
    batch_NHWC = np.zeros((5, 8, 8, 3), np.uint8)
    assert np.shares_memory(fit_frames(checked_frames(batch_NHWC), (8, 8)), batch_NHWC)
    assert np.shares_memory(fit_frames(checked_frames(batch_NHWC[0]), (8, 8)), batch_NHWC)


def test_a_flipped_view_becomes_contiguous_with_its_values() -> None:
    bgr_HWC = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    fitted_NHWC = fit_frames(checked_frames(bgr_HWC[..., ::-1]), (8, 8))
    assert fitted_NHWC.flags.c_contiguous
    assert (fitted_NHWC[0] == bgr_HWC[..., ::-1]).all()
