"""Charts as inline SVG: no script, no font file; colours come from the page, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 58


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar of a group, in percent, with its 95 % interval."""

    series: str
    """The class of its colour: `victim` or `purified`."""
    label: str
    value: float
    interval: tuple[float, float]
    n: int


def bar_chart(groups: Sequence[tuple[str, Sequence[Bar]]], *, title: str) -> str:
    """Return groups of bars from 0 to 100 % with whiskers; every bar says its value, interval and n to a reader."""
    group_width = (_WIDTH - _LEFT - _RIGHT) / len(groups)
    parts = [_axis_percent()]
    for g, (name, bars) in enumerate(groups):
        centre = _LEFT + (g + 0.5) * group_width
        width = min(64.0, 0.36 * group_width)
        for b, bar in enumerate(bars):
            parts.append(_bar(bar, centre + (b - len(bars) / 2 + 0.5) * (width + 8), width))
        parts.append(f'<text class="axis strong" x="{centre:.1f}" y="{_HEIGHT - 34}">{escape(name)}</text>')
        parts.append(f'<text class="axis" x="{centre:.1f}" y="{_HEIGHT - 15}">n = {bars[0].n}</text>')
    return _svg(title, "".join(parts))


def histogram(series: Sequence[tuple[str, NDArray[np.float64]]], *, title: str, num_bins: int = 25) -> str:
    """Return the shares of values in [0, 1] of each series (its name is the class of its colour), laid over another."""
    edges = np.linspace(0, 1, num_bins + 1)
    shares = [(name, 100 * np.histogram(values_N, edges)[0] / max(1, len(values_N))) for name, values_N in series]
    top = max(1.0, *(float(share.max()) for _, share in shares))
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for tick in (0.0, top / 2, top):
        y = _TOP + plot_height * (1 - tick / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}">{tick:.0f} %</text>')
    for name, share in shares:
        for i, value in enumerate(share):
            if value > 0:
                x, height = _LEFT + plot_width * i / num_bins, plot_height * value / top
                parts.append(
                    f'<rect class="{escape(name)} see-through" x="{x + 0.5:.1f}" y="{_TOP + plot_height - height:.1f}" '
                    f'width="{plot_width / num_bins - 1:.1f}" height="{height:.1f}"><title>{escape(name)}: {value:.1f} '
                    f"% of frames in [{edges[i]:.2f}, {edges[i + 1]:.2f}]</title></rect>"
                )
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text class="axis" x="{_LEFT + plot_width * tick:.1f}" y="{_HEIGHT - 36}">{tick:g}</text>')
    middle = _LEFT + plot_width / 2
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{_HEIGHT - 12}">suspicion (0: clean, 1: adversarial)</text>')
    return _svg(title, "".join(parts))


def _axis_percent() -> str:
    lines = []
    for tick in (0, 25, 50, 75, 100):
        y = _y_percent(tick)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}">{tick}</text>')
    return "".join(lines)


def _y_percent(percent: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - percent / 100)


def _bar(bar: Bar, x: float, width: float) -> str:
    y, bottom = _y_percent(bar.value), _y_percent(0)
    low, high = (_y_percent(end) for end in bar.interval)
    said = f"{bar.label}: {bar.value:.1f} % (95 % interval {bar.interval[0]:.1f} to {bar.interval[1]:.1f}, n = {bar.n})"
    return (
        f'<g><title>{escape(said)}</title><rect class="{escape(bar.series)}" x="{x - width / 2:.1f}" y="{y:.1f}" '
        f'width="{width:.1f}" height="{max(1.0, bottom - y):.1f}" rx="3"/>'
        f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 6:.1f} {low:.1f}h12M{x - 6:.1f} {high:.1f}h12"/>'
        f'<text class="value" x="{x:.1f}" y="{min(y, high) - 6:.1f}">{bar.value:.1f}</text></g>'
    )


def _svg(title: str, content: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )
