"""Curves and scatters as inline SVG; colours are classes of the page's style sheet: light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from capgan_benchmarks.robustness.report.markup import text

NUM_STYLES = 10
"""Colours that the style sheet has; more lines begin anew."""
WIDTH, HEIGHT = 340, 236
LEFT, RIGHT, TOP, BOTTOM = 38, 14, 12, 40
SIDE = 320
MARGIN = 12
_TICK_APART = 24
_MARKERS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z", "M0-4.6L4.4 3.4h-8.8z", "M0-5L5 0L0 5L-5 0z",
            "M0 4.6L4.4-3.4h-8.8z", "M-5-1.6h3.4v-3.4h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4z",
            "M-4.6 0L4.6-4v8z", "M4.6 0L-4.6-4v8z")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A share in percent at a budget, with its interval."""

    x: float
    """In levels of 255."""
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Points of one system, from left to right."""

    name: str
    style: int | None
    """Which colour and marker; None is the dotted line of the attack's success."""
    points: tuple[Point, ...]


def panel(lines: Sequence[Line], *, title: str) -> str:
    """Return lines over budgets, 0 to 100 %, with their intervals as bands."""
    places = sorted({point.x for line in lines for point in line.points})
    last = max([*places, 1e-9])
    parts = [_grid(), *_ticks(places, last)]
    parts += [_band(line, last) for line in lines]
    parts += [_curve(line, last) for line in lines]
    name = text(title)
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def mark(style: int | None) -> str:
    """Return the marker of a line, for a key."""
    line = f'<path class="curve {_class(style)}" d="M1 8H31"/>'
    return f'<svg class="mark" viewBox="0 0 32 16" aria-hidden="true">{line}{_marker(style, 16, 8)}</svg>'


def _class(style: int | None) -> str:
    return "success" if style is None else f"s{style % NUM_STYLES}"


def _x(levels: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * levels / last


def _y(percent: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - percent / 100)


def _grid() -> str:
    lines = []
    for tick in (0, 25, 50, 75, 100):
        y = _y(tick)
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}">{tick}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    lines.append(f'<text x="{middle:.1f}" y="{HEIGHT - 5}">budget, levels of 255</text>')
    return "".join(lines)


def _ticks(places: Sequence[float], last: float) -> list[str]:
    """Return the budgets under the plot, without those that would touch."""
    ticks, free_from = [], 0.0
    for place in places:
        x = _x(place, last)
        if x >= free_from:
            ticks.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}">{place:g}</text>')
            free_from = x + _TICK_APART
    return ticks


def _band(line: Line, last: float) -> str:
    if line.style is None or len(line.points) < 2:
        return ""
    upper = [f"{_x(each.x, last):.1f} {_y(each.interval[1]):.1f}" for each in line.points]
    lower = [f"{_x(each.x, last):.1f} {_y(each.interval[0]):.1f}" for each in reversed(line.points)]
    return f'<path class="band {_class(line.style)}" d="M{"L".join(upper + lower)}z"/>'


def _curve(line: Line, last: float) -> str:
    steps = "".join(
        f"M{_x(a.x, last):.1f} {_y(a.value):.1f}L{_x(b.x, last):.1f} {_y(b.value):.1f}"
        for a, b in pairwise(line.points)
    )
    parts = [f'<path class="curve {_class(line.style)}" d="{steps}"/>'] if steps else []
    for point in line.points:
        low, high = point.interval
        said = f"{line.name}, {point.x:g}/255: {point.value:.1f} % ({low:.1f} to {high:.1f})"
        x, y = _x(point.x, last), _y(point.value)
        parts.append(f"<g><title>{text(said)}</title>{_marker(line.style, x, y)}</g>")
    return "".join(parts)


def _marker(style: int | None, x: float, y: float) -> str:
    shape = "M-3-3l6 6m0-6l-6 6" if style is None else _MARKERS[style % len(_MARKERS)]
    return f'<path class="marker {_class(style)}" transform="translate({x:.1f} {y:.1f})" d="{shape}"/>'


def scatter(clouds: Sequence[tuple[str, bool, Sequence[tuple[float, float]]]], *, title: str) -> str:
    """Return clouds of points, one scale on both axes.

    Args:
        clouds: a class of the style sheet, whether the points are attacked (a cross, else a dot), and where they are.
        title: read aloud.
    """
    xs = [x for _, _, points in clouds for x, _ in points]
    ys = [y for _, _, points in clouds for _, y in points]
    spread = max(max(xs) - min(xs), max(ys) - min(ys), 1e-9)
    scale, centre = (SIDE - 2 * MARGIN) / spread, ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)
    parts = []
    for kind, is_attacked, points in clouds:
        shape = "m-2.6-2.6l5.2 5.2m0-5.2l-5.2 5.2" if is_attacked else "h0"
        places = [(SIDE / 2 + scale * (x - centre[0]), SIDE / 2 - scale * (y - centre[1])) for x, y in points]
        path = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places)
        parts.append(f'<path class="{"cross" if is_attacked else "dot"} {text(kind)}" d="{path}"/>')
    name = text(title)
    return (
        f'<svg class="plot scatter" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )
