"""Pictograms of road signs: arrows, cars, people, lights. Sign coordinates, x right, y down."""

from __future__ import annotations

import math

from capgan_edge.data.signs.canvas import (
    AMBER,
    BLACK,
    GREEN,
    RED,
    WHITE,
    Canvas,
    Colour,
    Point,
    arc,
    bezier,
    moved,
    rounded,
    scaled,
)


def arrow_head(canvas: Canvas, tip: Point, direction_deg: float, size: float, colour: Colour) -> None:
    """Fill a triangle whose tip is at `tip`, pointing along `direction_deg` (clockwise from the right)."""
    forward = math.radians(direction_deg)
    dx, dy = math.cos(forward), math.sin(forward)
    base = (tip[0] - size * dx, tip[1] - size * dy)
    side = 0.62 * size
    canvas.polygon(
        [tip, (base[0] - side * dy, base[1] + side * dx), (base[0] + side * dy, base[1] - side * dx)], colour
    )


def straight_arrow(canvas: Canvas, tail: Point, tip: Point, width: float, colour: Colour) -> None:
    """Draw a straight arrow, its head three strokes long."""
    direction = math.degrees(math.atan2(tip[1] - tail[1], tip[0] - tail[0]))
    head = 2.6 * width
    share = 1 - 0.8 * head / math.dist(tail, tip)
    neck = (tail[0] + share * (tip[0] - tail[0]), tail[1] + share * (tip[1] - tail[1]))
    canvas.stroke([tail, neck], width, colour)
    arrow_head(canvas, tip, direction, head, colour)


def roundabout_arrows(canvas: Canvas) -> None:
    """Three arrows that chase each other around a circle."""
    for start in (20, 140, 260):
        end = start + 62
        canvas.stroke(arc((0, 0), (0.54, 0.54), start, end), 0.2, WHITE)
        reach = math.radians(end + 36)
        tip = (0.53 * math.cos(reach), 0.53 * math.sin(reach))
        arrow_head(canvas, tip, end + 110, 0.44, WHITE)


def curved_arrow(canvas: Canvas, mirror: float) -> None:
    """Draw an arrow that comes from below and bends to the left (`mirror` 1) or to the right (-1)."""
    path = [(0.2, 0.68), (0.2, 0.42), *bezier((0.2, 0.4), (0.2, 0.1), (-0.12, 0.02))]
    canvas.stroke([(mirror * x, y) for x, y in path], 0.19, BLACK)
    arrow_head(canvas, (-0.44 * mirror, -0.06), 194 if mirror > 0 else -14, 0.42, BLACK)


def car(canvas: Canvas, centre: Point, colour: Colour) -> None:
    """A car seen from behind."""
    body = rounded([(-0.28, -0.02), (0.28, -0.02), (0.28, 0.2), (-0.28, 0.2)], 0.06)
    roof = rounded([(-0.18, -0.26), (0.18, -0.26), (0.25, 0.02), (-0.25, 0.02)], 0.05)
    window = [(-0.13, -0.19), (0.13, -0.19), (0.17, -0.05), (-0.17, -0.05)]
    for x in (-0.26, 0.12):
        canvas.polygon(moved([(x, 0.15), (x + 0.14, 0.15), (x + 0.14, 0.31), (x, 0.31)], centre), colour)
    for shape, fill in ((body, colour), (roof, colour), (window, WHITE)):
        canvas.polygon(moved(shape, centre), fill)


def walker(canvas: Canvas) -> None:
    """A person who walks over a zebra crossing."""
    canvas.disc((0.04, -0.36), 0.105, BLACK)
    canvas.stroke([(0.02, -0.2), (-0.02, 0.14)], 0.18, BLACK, round_ends=True)
    canvas.stroke([(-0.02, 0.12), (0.13, 0.3), (0.19, 0.54)], 0.1, BLACK, round_ends=True)
    canvas.stroke([(-0.02, 0.12), (-0.1, 0.34), (-0.27, 0.52)], 0.1, BLACK, round_ends=True)
    canvas.stroke([(0.04, -0.16), (0.2, 0.0), (0.29, 0.02)], 0.08, BLACK, round_ends=True)
    canvas.stroke([(-0.02, -0.16), (-0.18, 0.02), (-0.2, 0.1)], 0.08, BLACK, round_ends=True)
    for x in (-0.44, -0.16, 0.12, 0.4):
        canvas.polygon([(x - 0.05, 0.6), (x + 0.09, 0.6), (x + 0.12, 0.71), (x - 0.06, 0.71)], BLACK)


def digger(canvas: Canvas) -> None:
    """A worker who shovels a heap."""
    canvas.disc((0.02, -0.14), 0.105, BLACK)
    canvas.stroke([(-0.06, 0.02), (-0.2, 0.3)], 0.18, BLACK, round_ends=True)
    canvas.stroke([(-0.2, 0.3), (-0.1, 0.5), (-0.14, 0.7)], 0.1, BLACK, round_ends=True)
    canvas.stroke([(-0.22, 0.3), (-0.36, 0.5), (-0.44, 0.7)], 0.1, BLACK, round_ends=True)
    canvas.stroke([(-0.02, 0.04), (0.1, 0.24)], 0.085, BLACK, round_ends=True)
    canvas.stroke([(-0.12, 0.14), (0.26, 0.52)], 0.055, BLACK, round_ends=True)
    canvas.polygon(rounded([(0.12, 0.74), (0.42, 0.36), (0.66, 0.74)], 0.1), BLACK)


def traffic_light(canvas: Canvas) -> None:
    """Red over amber over green in a dark case."""
    case = rounded([(-0.22, -0.36), (0.22, -0.36), (0.22, 0.76), (-0.22, 0.76)], 0.14)
    canvas.polygon(case, BLACK)
    for y, colour in ((-0.16, RED), (0.2, AMBER), (0.56, GREEN)):
        canvas.disc((0, y), 0.15, colour)


def cancel_stripes(canvas: Canvas) -> None:
    """Five thin stripes from the upper right to the lower left."""
    for offset in (-0.28, -0.14, 0.0, 0.14, 0.28):
        half = math.sqrt(0.9**2 - (1.25 * offset) ** 2) / math.sqrt(2)
        canvas.stroke([(offset + half, offset - half), (offset - half, offset + half)], 0.085, BLACK)


def crossing_field(canvas: Canvas) -> None:
    """The white triangle on which the walker stands."""
    canvas.polygon(scaled(rounded([(0.0, -0.9), (0.92, 0.8), (-0.92, 0.8)], 0.08), 0.96), WHITE)
