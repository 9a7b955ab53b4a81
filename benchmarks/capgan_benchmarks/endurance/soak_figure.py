"""The figure of a soak as PNG: frame age, latency, and the memory of both processes, over time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from capgan_benchmarks.endurance.memory import Memory
from capgan_benchmarks.endurance.over_time import OverTime
from capgan_benchmarks.endurance.soak_record import SoakRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEDIAN, _TAIL = "#0969da", "#cf222e"
_MINUTE_S = 60.0


def figure_of(record: SoakRecord) -> bytes:
    """Return the figure as PNG; needs matplotlib, of the extra `train`."""
    held = io.BytesIO()
    drawn(record).savefig(held, format="png", dpi=110)
    return held.getvalue()


def drawn(record: SoakRecord) -> Figure:
    """Draw a row for the camera loop, and a row for the server."""
    from matplotlib.figure import Figure

    rows: list[tuple[str, OverTime, Memory]] = []
    if record.camera is not None:
        rows.append((f"camera loop at {record.camera.fps:g} fps: frame age", record.camera.age, record.camera.memory))
    if record.server is not None:
        title = f"server at {record.server.rate_per_s:.0f} requests/s: latency"
        rows.append((title, record.server.latency, record.server.memory))
    figure = Figure(figsize=(11, 3.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for (times, memory), (title, durations, resident) in zip(grid, rows, strict=True):
        _draw_times(times, title, durations)
        _draw_memory(memory, resident)
    figure.suptitle(f"{record.environment['cpu']}, {record.bundle['artifact']}, {record.date[:10]}", fontsize=9)
    return figure


def _draw_times(axes: Axes, title: str, held: OverTime) -> None:
    minutes = [each.at_s / _MINUTE_S for each in held.stretches]
    axes.plot(minutes, [each.p50_ms for each in held.stretches], color=_MEDIAN, label="median")
    axes.plot(minutes, [each.p99_ms for each in held.stretches], color=_TAIL, label="99th percentile")
    axes.set(ylabel="ms", xlabel="minutes", ylim=(0, None))
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_memory(axes: Axes, held: Memory) -> None:
    axes.plot([at_s / _MINUTE_S for at_s, _ in held.over_time], [mib for _, mib in held.over_time], color=_MEDIAN)
    axes.set(ylabel="MiB", xlabel="minutes", ylim=(0, 1.15 * held.largest_mib))
    axes.set_title(f"resident memory\n{held.slope_said}", fontsize=9)
    axes.grid(alpha=0.3)
