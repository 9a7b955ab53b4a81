"""A canvas in sign coordinates: x to the right, y down, the sign inside [-1, 1]; drawn large, reduced smooth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

Point = tuple[float, float]
Colour = tuple[int, int, int]

EXTENT = 1.06
"""Half the side of the canvas in sign coordinates: a thin transparent rim keeps the edge of a sign smooth."""

WHITE: Colour = (246, 246, 242)
BLACK: Colour = (22, 22, 25)
RED: Colour = (198, 26, 38)
BLUE: Colour = (14, 82, 168)
YELLOW: Colour = (252, 190, 12)
AMBER: Colour = (246, 158, 10)
GREEN: Colour = (10, 146, 84)
GREY: Colour = (120, 124, 128)


class Canvas:
    """A square RGBA picture that takes sign coordinates; what is not drawn stays transparent."""

    def __init__(self, size_px: int) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGBA", (size_px, size_px), (0, 0, 0, 0))
        self._draw: Any = ImageDraw.Draw(self.image)
        self._px_per_unit = size_px / (2 * EXTENT)

    def polygon(self, points: Iterable[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._px(point) for point in points], fill=(*colour, 255))

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """Fill a disc."""
        x, y = self._px(centre)
        r = radius * self._px_per_unit
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))

    def stroke(self, points: Sequence[Point], width: float, colour: Colour, *, round_ends: bool = False) -> None:
        """Draw a line through `points`, rounded where it bends, flat at its ends unless asked otherwise."""
        for start, end in itertools.pairwise(points):
            length = math.dist(start, end) or 1.0  # the same point twice has no width to give
            dx, dy = (end[0] - start[0]) * width / 2 / length, (end[1] - start[1]) * width / 2 / length
            quad = [(start[0] - dy, start[1] + dx), (end[0] - dy, end[1] + dx)]
            self.polygon([*quad, (end[0] + dy, end[1] - dx), (start[0] + dy, start[1] - dx)], colour)
        for joint in points if round_ends else points[1:-1]:
            self.disc(joint, width / 2, colour)

    def _px(self, point: Point) -> Point:
        return (point[0] + EXTENT) * self._px_per_unit, (point[1] + EXTENT) * self._px_per_unit


def arc(centre: Point, radii: Point, start_deg: float, end_deg: float) -> list[Point]:
    """Return points on an ellipse; degrees run clockwise from the right, as y points down."""
    steps = max(2, math.ceil(abs(end_deg - start_deg) / 6))
    angles = [math.radians(start_deg + (end_deg - start_deg) * step / steps) for step in range(steps + 1)]
    return [(centre[0] + radii[0] * math.cos(angle), centre[1] + radii[1] * math.sin(angle)) for angle in angles]


def bezier(start: Point, control: Point, end: Point, steps: int = 16) -> list[Point]:
    """Return points on a quadratic curve."""
    points = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
        points.append((a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]))
    return points


def rounded(corners: Sequence[Point], radius: float) -> list[Point]:
    """Return the polygon through `corners` with each corner cut round, starting `radius` before it."""
    points: list[Point] = []
    for index, corner in enumerate(corners):
        before, after = corners[index - 1], corners[(index + 1) % len(corners)]
        points += bezier(_towards(corner, before, radius), corner, _towards(corner, after, radius), 8)
    return points


def scaled(points: Iterable[Point], factor: float, centre: Point = (0.0, 0.0)) -> list[Point]:
    """Return `points` moved towards (or away from) `centre`."""
    return [(centre[0] + factor * (x - centre[0]), centre[1] + factor * (y - centre[1])) for x, y in points]


def moved(points: Iterable[Point], offset: Point) -> list[Point]:
    """Return `points` shifted by `offset`."""
    return [(x + offset[0], y + offset[1]) for x, y in points]


def _towards(start: Point, end: Point, distance: float) -> Point:
    length = math.dist(start, end)
    return start[0] + (end[0] - start[0]) * distance / length, start[1] + (end[1] - start[1]) * distance / length
