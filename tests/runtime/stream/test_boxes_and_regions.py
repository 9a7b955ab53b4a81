"""Boxes from whatever detectors return, and the regions of a frame."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgan_edge.errors import ConfigError, InputError
from capgan_edge.runtime.stream.box import Box, box_from
from capgan_edge.runtime.stream.capture import Picture
from capgan_edge.runtime.stream.regions import MAX_REGIONS, DetectorError, Grid, RegionFinder, parse_regions

_boxes = st.builds(
    lambda left, top, width, height: Box(left, top, left + width, top + height),
    st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 60), st.integers(1, 60),
)  # fmt: skip


def _picture(height: int = 48, width: int = 64, boxes: tuple[Box, ...] | None = None) -> Picture:
    return Picture(frame_HWC=np.zeros((height, width, 3), np.uint8), arrived_s=0.0, capture_ms=0.0, boxes=boxes)


@given(_boxes, _boxes)
def test_overlap_is_symmetric_and_one_only_for_the_same_box(first: Box, second: Box) -> None:
    assert first.overlap(second) == second.overlap(first)
    assert 0 <= first.overlap(second) <= 1
    assert (first.overlap(second) == 1) == (first == second)


@given(_boxes, _boxes)
def test_overlap_is_that_of_the_pixels(first: Box, second: Box) -> None:
    def mask(box: Box) -> Any:
        pixels = np.zeros((170, 170), bool)
        pixels[box.top + 50 : box.bottom + 50, box.left + 50 : box.right + 50] = True
        return pixels

    both, either = mask(first) & mask(second), mask(first) | mask(second)
    assert first.overlap(second) == pytest.approx(both.sum() / either.sum())


@pytest.mark.parametrize("value", [(1, 2, 30, 40), [1.2, 1.6, 30.4, 39.9], np.array([1, 2, 30, 40], np.float32),
                                   Box(1, 2, 30, 40)])  # fmt: skip
def test_a_box_comes_in_any_of_the_usual_clothes(value: Any) -> None:
    assert box_from(value) == Box(1, 2, 30, 40)


@pytest.mark.parametrize("value", [(1, 2, 3), (5, 5, 5, 9), (9, 0, 3, 4), "1234", (0, 0, float("nan"), 9), 7, None,
                                   (0, 0, float("inf"), 9), [None] * 4])  # fmt: skip
def test_what_is_no_box_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="left, top, right, bottom"):
        box_from(value)


@given(rows=st.integers(1, 7), columns=st.integers(1, 7), height=st.integers(7, 60), width=st.integers(7, 60))
def test_a_grid_covers_each_pixel_once(rows: int, columns: int, height: int, width: int) -> None:
    seen = np.zeros((height, width), int)
    for box in RegionFinder(Grid(rows, columns)).boxes(_picture(height, width)):
        seen[box.top : box.bottom, box.left : box.right] += 1
    assert (seen == 1).all()


def test_boxes_are_cut_at_the_edge_and_those_outside_left_out() -> None:
    finder = RegionFinder([(-10, -10, 20, 20), (60, 40, 100, 100), (100, 0, 120, 20)])
    assert finder.boxes(_picture()) == [Box(0, 0, 20, 20), Box(60, 40, 64, 48)]
    assert finder.num_outside == 1
    finder.boxes(_picture(20, 20))
    assert finder.num_outside == 3


def test_a_frame_with_fewer_pixels_than_cells_has_no_empty_cell() -> None:
    boxes = RegionFinder(Grid(4, 4)).boxes(_picture(2, 3))
    assert len(boxes) == 6
    assert all(box.area_px == 1 for box in boxes)


def test_there_is_an_end_to_regions() -> None:
    box = (0, 0, 10, 10)
    assert len(RegionFinder([box] * MAX_REGIONS).boxes(_picture())) == MAX_REGIONS
    assert len(RegionFinder(lambda frame: [box] * MAX_REGIONS).boxes(_picture())) == MAX_REGIONS
    with pytest.raises(ConfigError, match="at most 256 boxes"):
        RegionFinder(itertools.repeat(box))  # type: ignore[arg-type]  # any iterable is taken
    with pytest.raises(DetectorError, match="at most 256 boxes of a frame"):
        RegionFinder(lambda frame: itertools.repeat(box)).boxes(_picture())
    with pytest.raises(ConfigError, match="at most 256 cells"):
        Grid(16, 17)
    assert len(RegionFinder(Grid(16, 16)).boxes(_picture())) == MAX_REGIONS


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyError("boxes"), StopIteration()])
def test_whatever_a_detector_raises_is_the_detectors_error(error: Exception) -> None:
    def detector(frame_HWC: Any) -> Any:
        raise error

    with pytest.raises(DetectorError, match=r"^the detector: "):
        RegionFinder(detector).boxes(_picture())


def test_a_detector_that_fails_while_it_yields_is_the_detectors_error() -> None:
    def detector(frame_HWC: Any) -> Any:
        yield (0, 0, 10, 10)
        raise RuntimeError("half way")

    with pytest.raises(DetectorError, match="the detector: half way"):
        RegionFinder(detector).boxes(_picture())


def test_a_detector_sees_the_frame_and_may_find_nothing() -> None:
    shapes: list[tuple[int, ...]] = []

    def detector(frame_HWC: Any) -> list[Any]:
        shapes.append(frame_HWC.shape)
        return []

    assert RegionFinder(detector).boxes(_picture()) == []
    assert shapes == [(48, 64, 3)]


@pytest.mark.parametrize("found", [None, 3, [(1, 2)], ["abcd"]])
def test_what_a_detector_returns_is_checked(found: Any) -> None:
    with pytest.raises(DetectorError, match=r"^the detector: "):
        RegionFinder(lambda frame: found).boxes(_picture())


def test_the_source_may_know_where_to_look() -> None:
    boxes = (Box(1, 1, 9, 9),)
    assert RegionFinder("source").boxes(_picture(boxes=boxes)) == list(boxes)
    assert RegionFinder("source").boxes(_picture(boxes=())) == []
    assert RegionFinder("source").boxes(_picture()) == [Box(0, 0, 64, 48)]
    assert RegionFinder("whole").boxes(_picture(boxes=boxes)) == [Box(0, 0, 64, 48)]


def test_regions_on_a_command_line() -> None:
    assert parse_regions("whole") == "whole"
    assert parse_regions("grid:2x3") == Grid(2, 3)
    assert parse_regions("1,2,30,40;5,5,9,9") == [Box(1, 2, 30, 40), Box(5, 5, 9, 9)]


@pytest.mark.parametrize("text", ["", "grid", "grid:0x2", "grid:2x3x4", "1,2,3", "1,2,a,4", "everything"])
def test_a_wrong_name_of_regions_is_told(text: str) -> None:
    with pytest.raises(ConfigError):
        RegionFinder(parse_regions(text))


def test_no_boxes_at_all_are_refused_beforehand() -> None:
    with pytest.raises(ConfigError, match="at least one box"):
        RegionFinder([])
