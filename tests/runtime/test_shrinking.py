"""Large frames become small as Pillow makes them, to one level, wherever they lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from capgan_edge.runtime.frames import fit_frames
from capgan_edge.runtime.shrinking import is_shrinkable, shrunk


def pillow(frame_HWC: Any, height: int, width: int) -> Any:
    image = Image.fromarray(np.ascontiguousarray(frame_HWC))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).astype(int)


def noise(height: int, width: int, *, seed: int = 0) -> Any:
    """Black and white at random: what rounding has most to say about."""
    return 255 * np.random.default_rng(seed).integers(0, 2, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1080, 1920), (480, 640), (720, 1280), (1081, 1923), (128, 4096)])
def test_a_camera_s_frame_is_what_pillow_makes_of_it_to_one_level(size: tuple[int, int]) -> None:
    for frame in (noise(*size), np.full((*size, 3), 255, np.uint8), np.zeros((*size, 3), np.uint8)):
        assert np.abs(shrunk(frame, 32, 32) - pillow(frame, 32, 32)).max() <= 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(4, 9), st.floats(4, 9), st.integers(0, 9))
def test_any_size_is(height: int, width: int, down: float, across: float, seed: int) -> None:
    frame = noise(int(np.ceil(height * down)), int(np.ceil(width * across)), seed=seed)
    assert is_shrinkable(frame, height, width)
    held = shrunk(frame, height, width)
    assert (held.dtype, held.shape, held.flags.c_contiguous) == (np.uint8, (height, width, 3), True)
    assert np.abs(held - pillow(frame, height, width)).max() <= 1


def test_every_pixel_counts() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    whole = shrunk(frame + 255, 4, 4).astype(int)
    assert (whole == 255).all()
    strip = frame.copy()
    strip[:, 5] = 255  # a single column, between those that a coarse grid would read
    assert shrunk(strip, 4, 4)[:, 0].min() > 5


def test_a_frame_may_lie_in_any_order_and_is_left_alone() -> None:
    frame = noise(300, 400)
    frame.flags.writeable = False
    wanted = shrunk(np.ascontiguousarray(frame[::-1, :, ::-1]), 32, 32)
    assert (shrunk(frame[::-1, :, ::-1], 32, 32) == wanted).all()
    assert (shrunk(np.asfortranarray(frame), 32, 32) == shrunk(frame, 32, 32)).all()


def test_frames_that_are_not_much_larger_are_pillow_s() -> None:
    for size in ((33, 64), (127, 500), (16, 300), (64, 64)):
        frame = noise(*size)
        assert not is_shrinkable(frame, 32, 32)
        assert (fit_frames([frame], (32, 32))[0] == pillow(frame, 32, 32)).all()
    large = noise(128, 128)
    assert (fit_frames([large], (32, 32))[0] == shrunk(large, 32, 32)).all()
