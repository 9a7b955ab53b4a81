"""Robust accuracy over what a network costs in use, and over what was spent on its training, as one SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise, product
from typing import Any

Record = Mapping[str, Any]
WIDTH, HEIGHT = 470, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 34, 46
_KEY_LINE = 18
_COLOURS = ("#1f5fc4", "#c8443c", "#008a63", "#b36b00")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.mid{text-anchor:middle}.end{text-anchor:end}"
    ".title{font-weight:600}.grid{stroke:#d0d7de;fill:none}.line{fill:none;stroke-width:1.6}"
)
END_TO_END = ("painter", "whole")


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A share in percent at a cost above 0."""

    x: float
    percent: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Points from left to right."""

    name: str
    points: tuple[Point, ...]
    colour: str
    is_dashed: bool = False


def over_macs(records: Sequence[Record]) -> list[Curve]:
    """Return clean (dashed) and robust accuracy of class heads over M MAC of their encoders."""
    curves = []
    for colour, record in zip(_COLOURS, records, strict=False):
        arms = sorted(record["arms"], key=lambda arm: arm["macs"]["head"])
        for i, figure in enumerate(arms[0]["figures"]):
            points = tuple(Point(x=arm["macs"]["head"] / 1e6, percent=arm["figures"][i]["percent"],
                                 interval=tuple(arm["figures"][i]["interval_95"])) for arm in arms)  # fmt: skip
            curves.append(Curve(name=f"{record['pair']}, {figure['frames']}", points=points, colour=colour,
                                is_dashed=i == 0))  # fmt: skip
    return curves


def over_training(records: Sequence[Record]) -> list[Curve]:
    """Return accuracy under PGD-10 on held-out images over what was spent: the class head (dashed), then f(T(.)).

    A pair that was trained further has curves of its own for each run.
    """
    curves = []
    for colour, record in zip(_COLOURS, records, strict=False):
        kinds = (("class head", False, ("head",)), ("f(T(.))", True, END_TO_END))
        for number, (what, is_end, stages) in product(sorted({_run_of(row) for row in record["epochs"]}), kinds):
            points = tuple(Point(x=row["pflop"], percent=row["pgd10_percent"]) for row in record["epochs"]
                           if row["stage"] in stages and _run_of(row) == number)  # fmt: skip
            if points:
                name = what if number == 1 else f"{what}, trained further"
                curves.append(Curve(name=f"{record['pair']}, {name}", points=points, colour=colour,
                                    is_dashed=not is_end))  # fmt: skip
    return curves


def _run_of(row: Mapping[str, Any]) -> int:
    """Return which of its pair's runs an epoch is of, from 1."""
    return int(row.get("run", 1))


def drawn(widths: Sequence[Record], trainings: Sequence[Record]) -> str:
    """Return both panels side by side; a panel without a record is left out.

    Args:
        widths: records of the group `width`.
        trainings: records of what packaged pairs' trainings had cost by each epoch.
    """
    panels = [
        (over_macs(widths), "The first stage at other widths: the class head alone", "encoder, M MAC"),
        (over_training(trainings), "PGD-10 on held-out images, epoch by epoch", "spent on training, 1e15 operations"),
    ]
    panels = [each for each in panels if each[0]]
    height = HEIGHT + _KEY_LINE * max((len(curves) for curves, _, _ in panels), default=0) + 8
    parts = [f'<g transform="translate({i * WIDTH} 0)">{_panel(*each)}</g>' for i, each in enumerate(panels)]
    width = WIDTH * max(1, len(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Robust accuracy over cost"><style>{_STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _panel(curves: Sequence[Curve], title: str, axis: str) -> str:
    """Return a panel: percent over the logarithm of the cost, and the key below."""
    xs = [point.x for curve in curves for point in curve.points]
    low, high = math.log(min(xs)), math.log(max(xs))
    span = max(high - low, 1e-9)

    def place(x: float, percent: float) -> tuple[float, float]:
        share = (math.log(x) - low) / span
        return LEFT + (WIDTH - LEFT - RIGHT) * share, TOP + (HEIGHT - TOP - BOTTOM) * (1 - percent / 100)

    parts = [f'<text class="title mid" x="{WIDTH / 2}" y="18">{escape(title)}</text>']
    for tick in (0, 25, 50, 75, 100):
        y = place(xs[0], tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                     f'<text class="end" x="{LEFT - 6}" y="{y + 4:.1f}">{tick} %</text>')  # fmt: skip
    parts += [f'<text class="mid" x="{place(tick, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 17}">{tick:.3g}</text>'
              for tick in _ticks(xs)]  # fmt: skip
    parts.append(f'<text class="mid" x="{WIDTH / 2}" y="{HEIGHT - 10}">{escape(axis)}</text>')
    for i, curve in enumerate(curves):
        parts += [_line(curve, place), _key(curve, HEIGHT + i * _KEY_LINE)]
    return "".join(parts)


def _line(curve: Curve, place: Any) -> str:
    dash = ' stroke-dasharray="5 4"' if curve.is_dashed else ""
    ends = [place(point.x, point.percent) for point in curve.points]
    steps = "".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in pairwise(ends))
    parts = [f'<path class="line" stroke="{curve.colour}"{dash} d="{steps}"/>'] if steps else []
    for point, (x, y) in zip(curve.points, ends, strict=True):
        said = f"{curve.name}: {point.percent:.1f} % at {point.x:.3g}"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{curve.colour}"><title>{escape(said)}</title>'
                     "</circle>")  # fmt: skip
        if point.interval is not None:
            ends_y = [place(point.x, percent)[1] for percent in point.interval]
            parts.append(f'<path class="line" stroke="{curve.colour}" d="M{x:.1f} {ends_y[0]:.1f}V{ends_y[1]:.1f}"/>')
    return "".join(parts)


def _key(curve: Curve, y: float) -> str:
    dash = ' stroke-dasharray="5 4"' if curve.is_dashed else ""
    return (
        f'<path class="line" stroke="{curve.colour}"{dash} d="M{LEFT} {y}h28"/>'
        f'<text x="{LEFT + 36}" y="{y + 4}">{escape(curve.name)}</text>'
    )


def _ticks(xs: Sequence[float]) -> list[float]:
    """Return the costs that are written under a panel: of few all, of many five, evenly apart on the scale."""
    places = sorted(set(xs))
    if len(places) <= 6:
        return places
    low, high = math.log(places[0]), math.log(places[-1])
    return [math.exp(low + (high - low) * i / 4) for i in range(5)]
