"""Blank sign plates: outline, border and ground of each family of signs."""

from __future__ import annotations

import math

from capgan_edge.data.signs.canvas import BLACK, BLUE, GREY, RED, WHITE, YELLOW, Canvas, Colour, Point, rounded, scaled

_TRIANGLE: list[Point] = [(0.0, -1.0), (1.12, 0.94), (-1.12, 0.94)]
_TRIANGLE_CENTRE: Point = (0.0, 0.2933)


def prohibition(canvas: Canvas) -> None:
    """White disc in a red ring."""
    canvas.disc((0, 0), 1.0, WHITE)
    canvas.disc((0, 0), 0.97, RED)
    canvas.disc((0, 0), 0.75, WHITE)


def red_disc(canvas: Canvas) -> None:
    """Red disc with a thin white rim."""
    canvas.disc((0, 0), 1.0, WHITE)
    canvas.disc((0, 0), 0.96, RED)


def mandatory(canvas: Canvas) -> None:
    """Blue disc with a thin white rim."""
    canvas.disc((0, 0), 1.0, WHITE)
    canvas.disc((0, 0), 0.94, BLUE)


def end_disc(canvas: Canvas) -> None:
    """White disc with a thin dark rim."""
    canvas.disc((0, 0), 1.0, GREY)
    canvas.disc((0, 0), 0.95, WHITE)


def warning(canvas: Canvas) -> None:
    """White triangle, point up, in a red border."""
    _triangle(canvas, upside_down=False, inner=0.67)


def give_way(canvas: Canvas) -> None:
    """White triangle, point down, in a wide red border."""
    _triangle(canvas, upside_down=True, inner=0.6)


def octagon(canvas: Canvas) -> None:
    """Red octagon with a white rim."""
    corners = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in range(22, 360, 45)]
    outline = scaled(rounded(corners, 0.06), 1.03)
    canvas.polygon(outline, WHITE)
    canvas.polygon(scaled(outline, 0.94), RED)


def diamond(canvas: Canvas) -> None:
    """Yellow square on its tip, in a white border with a dark edge."""
    outline = rounded([(0, -1.05), (1.05, 0), (0, 1.05), (-1.05, 0)], 0.16)
    canvas.polygon(outline, BLACK)
    canvas.polygon(scaled(outline, 0.96), WHITE)
    canvas.polygon(scaled(outline, 0.7), YELLOW)


def blue_plate(canvas: Canvas, half_width: float, half_height: float) -> None:
    """Blue rectangle with a white rim."""
    canvas.polygon(_rectangle(half_width, half_height, 0.14), WHITE)
    canvas.polygon(_rectangle(half_width - 0.05, half_height - 0.05, 0.11), BLUE)


def _triangle(canvas: Canvas, *, upside_down: bool, inner: float) -> None:
    layers: list[tuple[float, float, Colour]] = [(1.0, 0.24, WHITE), (0.95, 0.22, RED), (inner, 0.09, WHITE)]
    for factor, radius, colour in layers:
        corners = rounded(scaled(_TRIANGLE, factor, _TRIANGLE_CENTRE), radius)
        canvas.polygon([(x, -y) for x, y in corners] if upside_down else corners, colour)


def _rectangle(half_width: float, half_height: float, radius: float) -> list[Point]:
    w, h = half_width, half_height
    return rounded([(-w, -h), (w, -h), (w, h), (-w, h)], radius)
