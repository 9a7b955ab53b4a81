"""The classes of road signs and how each is painted."""

from __future__ import annotations

from collections.abc import Callable

from capgan_edge.data.signs import pictograms, plates
from capgan_edge.data.signs.canvas import BLACK, RED, WHITE, Canvas, Point
from capgan_edge.data.signs.lettering import draw_text

Painter = Callable[[Canvas], None]


def _stop(canvas: Canvas) -> None:
    plates.octagon(canvas)
    draw_text(canvas, "STOP", (0, 0), (1.52, 0.66), 0.155, WHITE)


def _no_entry(canvas: Canvas) -> None:
    plates.red_disc(canvas)
    canvas.polygon([(-0.72, -0.18), (0.72, -0.18), (0.72, 0.18), (-0.72, 0.18)], WHITE)


def _speed_limit(text: str) -> Painter:
    def paint(canvas: Canvas) -> None:
        plates.prohibition(canvas)
        if len(text) == 2:
            draw_text(canvas, text, (0, 0), (1.02, 0.84), 0.185, BLACK)
        else:
            draw_text(canvas, text, (-0.03, 0), (1.26, 0.74), 0.155, BLACK)

    return paint


def _end_of_restrictions(canvas: Canvas) -> None:
    plates.end_disc(canvas)
    pictograms.cancel_stripes(canvas)


def _no_overtaking(canvas: Canvas) -> None:
    plates.prohibition(canvas)
    pictograms.car(canvas, (-0.335, 0.0), RED)
    pictograms.car(canvas, (0.335, 0.0), BLACK)


def _keep(tip: Point) -> Painter:
    def paint(canvas: Canvas) -> None:
        plates.mandatory(canvas)
        pictograms.straight_arrow(canvas, (-tip[0], -tip[1]), tip, 0.26, WHITE)

    return paint


def _roundabout(canvas: Canvas) -> None:
    plates.mandatory(canvas)
    pictograms.roundabout_arrows(canvas)


def _pedestrian_crossing(canvas: Canvas) -> None:
    plates.blue_plate(canvas, 1.0, 1.0)
    pictograms.crossing_field(canvas)
    pictograms.walker(canvas)


def _road_work(canvas: Canvas) -> None:
    plates.warning(canvas)
    pictograms.digger(canvas)


def _curve(mirror: float) -> Painter:
    def paint(canvas: Canvas) -> None:
        plates.warning(canvas)
        pictograms.curved_arrow(canvas, mirror)

    return paint


def _traffic_lights(canvas: Canvas) -> None:
    plates.warning(canvas)
    pictograms.traffic_light(canvas)


def _parking(canvas: Canvas) -> None:
    plates.blue_plate(canvas, 0.92, 1.0)
    draw_text(canvas, "P", (0.03, 0), (0.84, 1.3), 0.27, WHITE)


def _one_way(canvas: Canvas) -> None:
    plates.blue_plate(canvas, 1.04, 0.56)
    pictograms.straight_arrow(canvas, (-0.84, 0.0), (0.88, 0.0), 0.25, WHITE)


_PAINTERS: dict[str, Painter] = {
    "stop": _stop,
    "yield": plates.give_way,
    "no entry": _no_entry,
    "speed limit 30": _speed_limit("30"),
    "speed limit 50": _speed_limit("50"),
    "speed limit 80": _speed_limit("80"),
    "speed limit 100": _speed_limit("100"),
    "end of restrictions": _end_of_restrictions,
    "no overtaking": _no_overtaking,
    "priority road": plates.diamond,
    "roundabout": _roundabout,
    "keep right": _keep((0.5, 0.5)),
    "keep left": _keep((-0.5, 0.5)),
    "pedestrian crossing": _pedestrian_crossing,
    "road work": _road_work,
    "curve left": _curve(1.0),
    "curve right": _curve(-1.0),
    "traffic lights": _traffic_lights,
    "parking": _parking,
    "one way": _one_way,
}

SIGN_CLASSES: tuple[str, ...] = tuple(_PAINTERS)
"""The names of the classes; the index of a name is its label."""


def paint(class_index: int, canvas: Canvas) -> None:
    """Paint the sign of a class on an empty canvas."""
    _PAINTERS[SIGN_CLASSES[class_index]](canvas)
