"""Figure 5 as SVG: accuracy over epsilon of every system, with intervals, from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from capgan_benchmarks.paper.plan import FIGURE_5
from capgan_benchmarks.paper.printed import CLEAN
from capgan_benchmarks.robustness.report.plots import HEIGHT, WIDTH, Line, Point, mark, panel

_SCALE = 2
_KEY_WIDTH, _KEY_LINE = 230, 26
_COLOURS = ("#c8443c", "#1f5fc4", "#008a63", "#b36b00", "#8a3fb0", "#0089a7", "#6b5b2e")
_DASHES = ("none", "none", "7 4", "3 3", "9 3 2 3", "2 4", "12 4")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a;text-anchor:middle}text.tick{text-anchor:end}"
    "text.name{text-anchor:start;font-size:14px;fill:#24292f}.grid{stroke:#d0d7de;fill:none}"
    ".curve{fill:none;stroke:currentColor;stroke-width:1.6}.band{fill:currentColor;opacity:.12}"
    ".marker{fill:currentColor}"
    + "".join(f".s{i}{{color:{colour}}}.curve.s{i}{{stroke-dasharray:{dash}}}"
              for i, (colour, dash) in enumerate(zip(_COLOURS, _DASHES, strict=True)))
)  # fmt: skip


def figure_of(record: Mapping[str, Any]) -> str:
    """Return the figure of a record of Figure 5; budget 0 is the clean accuracy of the same images."""
    assert record["table"] == FIGURE_5
    names = [system["name"] for system in record["systems"]]
    lines = [Line(name=name, style=i, points=_points(name, record["cells"])) for i, name in enumerate(names)]
    title = f"Accuracy under FGSM of another classifier over epsilon; {record['data']}, n = {record['n']}"
    width, height = _SCALE * WIDTH + _KEY_WIDTH, _SCALE * HEIGHT
    drawn = panel(lines, title=title).replace("<svg ", f'<svg width="{_SCALE * WIDTH}" height="{height}" ', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
        f"{drawn}{_key(names)}</svg>\n"
    )


def _points(name: str, cells: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    own = [cell for cell in cells if cell["system"] == name]
    points = [Point(x=0.0 if (cell["threat"], cell["attack"]) == CLEAN else round(255 * cell["epsilon"], 4),
                    value=cell["percent"], interval=tuple(cell["interval_95"])) for cell in own]  # fmt: skip
    return tuple(sorted(points, key=lambda point: point.x))


def _key(names: Sequence[str]) -> str:
    left, parts = _SCALE * WIDTH + 8, list[str]()
    for i, name in enumerate(names):
        drawn = mark(i).replace("<svg ", '<svg width="32" height="16" ', 1)
        parts.append(f'<g transform="translate({left} {40 + i * _KEY_LINE})">{drawn}'
                     f'<text class="name" x="42" y="13">{escape(name)}</text></g>')  # fmt: skip
    return "".join(parts)
