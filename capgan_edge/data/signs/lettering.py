"""Digits and letters of road signs as strokes: own shapes, no font file."""

from __future__ import annotations

from collections.abc import Callable

from capgan_edge.data.signs.canvas import Canvas, Colour, Point, arc

Stroke = list[Point]


def draw_text(canvas: Canvas, text: str, centre: Point, size: Point, weight: float, colour: Colour) -> None:
    """Write `text` in a box of `size` (width, height) around `centre`, in strokes `weight` thick."""
    gap = 0.55 * weight
    letter_width = (size[0] - gap * (len(text) - 1)) / len(text)
    left = centre[0] - size[0] / 2
    top = centre[1] - size[1] / 2 + weight / 2
    for index, letter in enumerate(text):
        x0 = left + index * (letter_width + gap) + weight / 2
        for stroke in _LETTERS[letter]():
            points = [(x0 + x * (letter_width - weight), top + y * (size[1] - weight)) for x, y in stroke]
            canvas.stroke(points, weight, colour)


def _zero() -> list[Stroke]:
    top, bottom = 0.36, 0.64
    ring = arc((0.5, top), (0.5, top), 180, 360) + arc((0.5, bottom), (0.5, 1 - bottom), 0, 180)
    return [[*ring, (0.0, top), (0.0, top - 0.02)]]


def _one() -> list[Stroke]:
    return [[(0.05, 0.2), (0.62, 0.0), (0.62, 1.08)]]


def _three() -> list[Stroke]:
    upper = arc((0.46, 0.25), (0.48, 0.25), 205, 450)
    lower = arc((0.46, 0.74), (0.54, 0.26), 270, 520)
    return [upper + lower]


def _five() -> list[Stroke]:
    bowl = arc((0.44, 0.68), (0.56, 0.32), 222, 515)
    return [[(0.98, 0.0), (0.16, 0.0), (0.03, 0.47), *bowl]]


def _eight() -> list[Stroke]:
    return [arc((0.5, 0.24), (0.45, 0.24), 80, 460), arc((0.5, 0.74), (0.5, 0.26), 260, 640)]


def _s() -> list[Stroke]:
    return [arc((0.5, 0.25), (0.5, 0.25), 335, 90) + arc((0.5, 0.75), (0.5, 0.25), 270, 515)]


def _t() -> list[Stroke]:
    return [[(-0.2, 0.0), (1.2, 0.0)], [(0.5, 0.0), (0.5, 1.08)]]


def _p() -> list[Stroke]:
    bowl = arc((0.55, 0.28), (0.45, 0.28), 270, 450)
    return [[(0.0, 1.08), (0.0, 0.0), *bowl, (0.0, 0.56)]]


_LETTERS: dict[str, Callable[[], list[Stroke]]] = {
    "0": _zero,
    "1": _one,
    "3": _three,
    "5": _five,
    "8": _eight,
    "S": _s,
    "T": _t,
    "O": _zero,
    "P": _p,
}
