"""Which parts of a frame are classified: all of it, fixed boxes, a grid, or what a detector or the source knows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError, InputError
from capgan_edge.runtime.stream.box import Box, box_from
from capgan_edge.runtime.stream.capture import Picture


class DetectorError(InputError):
    """A detector raised, or returned what are no boxes: it says nothing of the engine."""


MAX_REGIONS = 256
"""Of one frame: each is resized, classified and tracked, so that there must be an end."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A frame cut into rows and columns."""

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ConfigError(f"a grid has at least 1 row and 1 column, got {self.rows} x {self.columns}; use whole")
        if self.rows * self.columns > MAX_REGIONS:
            raise ConfigError(
                f"a grid has at most {MAX_REGIONS} cells, got {self.rows} x {self.columns}; take fewer rows or columns"
            )

    def boxes(self, height: int, width: int) -> list[Box]:
        """Return the cells, row by row; a frame with fewer pixels than cells has only those that have any."""
        edges_y = [height * row // self.rows for row in range(self.rows + 1)]
        edges_x = [width * column // self.columns for column in range(self.columns + 1)]
        cells = [
            Box(edges_x[column], edges_y[row], edges_x[column + 1], edges_y[row + 1])
            for row in range(self.rows)
            for column in range(self.columns)
        ]
        return [cell for cell in cells if cell.area_px]


Detector: TypeAlias = Callable[[NDArray[np.uint8]], Iterable[Any]]
"""Takes an RGB frame [H, W, 3], returns boxes: left, top, right, bottom in pixels."""
Regions: TypeAlias = Literal["whole", "source"] | Grid | Sequence[Any] | Detector
"""`source` takes the boxes that the source itself knows of, and the whole frame where it knows none."""


class RegionFinder:
    """Say where to look in each frame."""

    def __init__(self, regions: Regions) -> None:
        """Raises ConfigError or InputError where `regions` is none of its kinds."""
        self.count_hint = 1
        """Regions of a frame, as far as that is known beforehand."""
        self.num_outside = 0
        """Regions so far that lay wholly outside their frame."""
        self._find: Callable[[Picture], Iterable[Any]]
        if isinstance(regions, str):
            self._find = self._named(regions)
        elif isinstance(regions, Grid):
            grid = regions
            self._find = lambda picture: grid.boxes(*picture.frame_HWC.shape[:2])
            self.count_hint = grid.rows * grid.columns
        elif callable(regions):
            detector = regions
            self._find = lambda picture: detector(picture.frame_HWC)
        else:
            boxes = [box_from(region) for region in itertools.islice(regions, MAX_REGIONS + 1)]
            if len(boxes) > MAX_REGIONS:
                raise ConfigError(f"expected at most {MAX_REGIONS} boxes, got more; leave some out")
            if not boxes:
                raise ConfigError("expected at least one box, got none; leave regions out for the whole frame")
            self._find = lambda picture: boxes
            self.count_hint = len(boxes)

    def boxes(self, picture: Picture) -> list[Box]:
        """Return the boxes as far as they lie inside the frame; those wholly outside are left out and counted.

        Raises:
            DetectorError: a detector failed, or returned something else than boxes, or more than `MAX_REGIONS`.
        """
        height, width = picture.frame_HWC.shape[:2]
        clipped = [box.clipped(height, width) for box in self._found(picture)]
        inside = [box for box in clipped if box.right > box.left and box.bottom > box.top]
        self.num_outside += len(clipped) - len(inside)
        return inside

    def _found(self, picture: Picture) -> list[Box]:
        try:
            found = self._find(picture)
            if not isinstance(found, Iterable):
                raise InputError(f"expected boxes, got {type(found).__name__}; return a list, if empty")
            values = list(itertools.islice(found, MAX_REGIONS + 1))  # it may be a generator without an end
            if len(values) > MAX_REGIONS:
                raise InputError(f"expected at most {MAX_REGIONS} boxes of a frame, got more; keep the best ones")
            return [box_from(value) for value in values]
        except Exception as error:  # someone else's code: whatever it raises, the loop does not end for it
            raise DetectorError(f"the detector: {str(error) or type(error).__name__}") from error

    def _named(self, name: str) -> Callable[[Picture], Iterable[Any]]:
        if name not in ("whole", "source"):
            raise ConfigError(
                f"regions is whole, source, boxes, a Grid or a function that returns boxes, got {name!r}; "
                "choose one of these"
            )
        is_source = name == "source"
        return lambda picture: _whole(picture) if not is_source or picture.boxes is None else picture.boxes


def _whole(picture: Picture) -> list[Box]:
    height, width = picture.frame_HWC.shape[:2]
    return [Box(0, 0, width, height)]


def parse_regions(text: str) -> Regions:
    """Return what `whole`, `source`, `grid:2x3` or `10,20,110,120;...` means on a command line.

    Raises:
        ConfigError: it is none of these.
    """
    if text in ("whole", "source"):
        return "whole" if text == "whole" else "source"
    kind, _, rest = text.partition(":")
    try:
        if kind == "grid":
            rows, columns = (int(part) for part in rest.split("x"))
            return Grid(rows, columns)
        return [box_from([float(part) for part in box.split(",")]) for box in text.split(";")]
    except (ValueError, InputError) as error:
        raise ConfigError(
            f"expected regions as whole, source, grid:ROWSxCOLUMNS or left,top,right,bottom;..., got {text!r}; "
            "numbers are pixels"
        ) from error
