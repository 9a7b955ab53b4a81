"""A rectangle of a frame, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from capgan_edge.errors import InputError


@dataclass(frozen=True, slots=True)
class Box:
    """Corners in pixels, as detectors give them; right and bottom are the first column and row outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area_px(self) -> int:
        return max(0, self.right - self.left) * max(0, self.bottom - self.top)

    def clipped(self, height: int, width: int) -> Box:
        """Return the part inside a frame of this size; its area is 0 where there is none."""
        return Box(max(0, self.left), max(0, self.top), min(width, self.right), min(height, self.bottom))

    def overlap(self, other: Box) -> float:
        """Return intersection over union, in [0, 1]."""
        shared = Box(max(self.left, other.left), max(self.top, other.top),
                     min(self.right, other.right), min(self.bottom, other.bottom)).area_px  # fmt: skip
        union = self.area_px + other.area_px - shared
        return shared / union if union else 0.0


def box_from(value: Any) -> Box:
    """Return a box from a `Box` or from four numbers: left, top, right, bottom; an array's row does too.

    Raises:
        InputError: it is not four finite numbers, or right is not beyond left, or bottom not below top.
    """
    if isinstance(value, Box):
        return _checked(value, value)
    if isinstance(value, (str, bytes)) or not (isinstance(value, Sequence) or hasattr(value, "__array__")):
        raise _refusal(value)
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError) as error:
        raise _refusal(value) from error
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise _refusal(value)
    left, top, right, bottom = (round(number) for number in numbers)
    return _checked(Box(left, top, right, bottom), value)


def _checked(box: Box, value: Any) -> Box:
    if box.right <= box.left or box.bottom <= box.top:
        raise _refusal(value)
    return box


def _refusal(value: Any) -> InputError:
    return InputError(
        f"a box is left, top, right, bottom in pixels with left < right and top < bottom, got {value!r}; "
        "a detector's xyxy rows fit, its xywh rows do not"
    )
