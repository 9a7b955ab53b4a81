"""The Pareto figure as SVG and its table as Markdown, from records of latency and of robustness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from capgan_benchmarks.latency.pareto import Pareto, Point, pareto_of
from capgan_benchmarks.latency.record import LatencyRecord, read_record
from capgan_benchmarks.robustness import record as robustness_record
from capgan_edge.files import make_folder, write_atomic

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 24, 24, 56
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}.name{fill:#24292f}.grid{stroke:#d0d7de}"
    ".purified{fill:#0969da}.victim{fill:#cf222e}.front{stroke:#0969da;stroke-dasharray:4 4;fill:none}"
    ".whisker{stroke:#57606a}"
)


def write_pareto(latency_path: Path, robustness_paths: Sequence[Path], out: Path, *, batch: int) -> tuple[Path, Path]:
    """Write pareto.svg and pareto.md into a folder and return their paths.

    Raises:
        DataError: a file is no such record.
        ConfigError: they share no artifact, images or attacks, or there is no such batch size.
    """
    latency, robustness = read_record(latency_path), [robustness_record.read_record(path) for path in robustness_paths]
    held = pareto_of(latency, *robustness, batch=batch)
    make_folder(out)
    files = {out / "pareto.svg": figure_of(held), out / "pareto.md": table_of(held, latency, batch=batch)}
    for path, text in files.items():
        write_atomic(path, text.encode())
    return out / "pareto.svg", out / "pareto.md"


def table_of(held: Pareto, latency: LatencyRecord, *, batch: int) -> str:
    """Return the table, fastest first; the front is in bold."""
    lines = [
        f"| artifact, runtime | p50 ms (batch {batch}) | p90 ms | queries | robust accuracy | images |",
        "|---|---|---|---|---|---|",
    ]
    for point in sorted(held.points, key=lambda each: each.p50_ms):
        name = f"**{point.name}**" if point.name in held.front else point.name
        low, high = point.interval_95
        lines.append(f"| {name} | {point.p50_ms:.3f} | {point.p90_ms:.3f} | {point.n_queries} | "
                     f"{point.percent:.1f} % [{low:.1f}, {high:.1f}] | {point.n_images} |")  # fmt: skip
    said = [f"{latency.environment.get('cpu')}, {latency.protocol.threads} threads, {latency.date[:10]}. Robust "
            f"accuracy: images that survive {held.attacks}; in brackets the 95 % interval. Bold: no other is both "
            "faster and more accurate."]  # fmt: skip
    if held.left_out:
        said.append(f"Without a robustness measured in their runtime, and so left out: {'; '.join(held.left_out)}.")
    return "\n".join([*lines, "", *said]) + "\n"


def figure_of(held: Pareto) -> str:
    """Return the figure: milliseconds to the right on a logarithmic axis, robust accuracy upwards."""
    low_ms, high_ms = _decades([point.p50_ms for point in held.points])
    parts = [_grid(low_ms, high_ms)]
    front = [_place(point, low_ms, high_ms) for name in held.front for point in held.points if point.name == name]
    parts.append(f'<polyline class="front" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in front)}"/>')
    for point in held.points:
        x, y = _place(point, low_ms, high_ms)
        low, high = (_y(end) for end in point.interval_95)
        said = (f"{point.name}: {point.p50_ms:.3f} ms, {point.percent:.1f} % (95 % interval {point.interval_95[0]:.1f} "
                f"to {point.interval_95[1]:.1f}, n = {point.n_images})")  # fmt: skip
        kind = "victim" if point.is_victim else "purified"
        anchor = "end" if x > _WIDTH / 2 else "start"
        parts.append(
            f'<g><title>{escape(said)}</title><path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}"/>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
            f'<text class="name" text-anchor="{anchor}" x="{x + (-9 if anchor == "end" else 9):.1f}" '
            f'y="{y - 8:.1f}">{escape(point.name)}</text></g>'
        )
    title = f"Latency against robust accuracy under {held.attacks}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _decades(values_ms: Sequence[float]) -> tuple[float, float]:
    """Return powers of ten around all values, at least one decade apart."""
    low, high = math.floor(math.log10(min(values_ms))), math.ceil(math.log10(max(values_ms)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _grid(low_ms: float, high_ms: float) -> str:
    lines = []
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}">{percent} %</text>')
    first, last = round(math.log10(low_ms)), round(math.log10(high_ms))
    for decade in range(first, last + 1):
        x = _x(10.0**decade, low_ms, high_ms)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        lines.append(f'<text text-anchor="middle" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}">{10.0**decade:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text text-anchor="middle" x="{middle}" y="{_HEIGHT - 12}">median latency, ms</text>')
    return "".join(lines)


def _place(point: Point, low_ms: float, high_ms: float) -> tuple[float, float]:
    return _x(point.p50_ms, low_ms, high_ms), _y(point.percent)


def _x(value_ms: float, low_ms: float, high_ms: float) -> float:
    share = math.log(value_ms / low_ms) / math.log(high_ms / low_ms)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _y(percent: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - percent / 100)
