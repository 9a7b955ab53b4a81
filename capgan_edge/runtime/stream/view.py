"""The loop in a terminal: one table that updates in place."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from capgan_edge.runtime.stream.event import Event, RegionVerdict
from capgan_edge.runtime.stream.sink import Output

_MAX_ROWS = 12
_BAR_CELLS = 20


class TerminalView:
    """Show the last event, four times a second at most; lines printed on the same console stay above it."""

    def __init__(self, console: Console, outputs: Sequence[Output]) -> None:
        self._outputs = outputs
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def write(self, event: Event) -> None:
        self._live.update(_table(event, self._outputs))

    def close(self) -> None:
        self._live.stop()


def _table(event: Event, outputs: Sequence[Output]) -> Table:
    table = Table(title=Text(_headline(event)), title_justify="left", caption=Text(_footline(event, outputs)),
                  caption_justify="left")  # fmt: skip
    for column in ("track", "label", "score", "vote", "suspicion", "unpurified"):
        table.add_column(column)
    for verdict in event.verdicts[:_MAX_ROWS]:
        table.add_row(*_row(verdict))
    return table


def _row(verdict: RegionVerdict) -> list[Text]:
    vote = f"{verdict.voted_label} {verdict.vote_share:.0%}"
    cells = (str(verdict.track_id), verdict.label, f"{verdict.score:.2f}", vote)
    style = "bold red" if verdict.is_alarm else ""
    return [*(Text(cell) for cell in cells), Text(_bar(verdict.suspicion), style), Text(verdict.raw_label or "")]


def _bar(suspicion: float | None) -> str:
    if suspicion is None:
        return "not known"
    filled = round(_BAR_CELLS * suspicion)
    return "█" * filled + "░" * (_BAR_CELLS - filled) + f" {suspicion:.2f}"


def _headline(event: Event) -> str:
    parts = [f"source {event.source_state}", f"purifier {event.purifier_state}"]
    if event.kind == "source":
        parts.append(event.reason or "")
    if event.age_ms is not None:
        parts.append(f"age {event.age_ms:.0f} ms")
    if event.held_age_ms is not None:
        parts.append(f"held for {event.held_age_ms:.0f} ms")
    if event.health not in (None, "ok"):
        parts.append(f"frame is {event.health}")
    if event.error:
        parts.append(f"error: {event.error}")
    return " · ".join(part for part in parts if part)


def _footline(event: Event, outputs: Sequence[Output]) -> str:
    counts = event.counts
    said = {"frames": counts.frames, "dropped": counts.dropped, "errors": counts.errors,
            "deadline misses": counts.deadline_misses, "black": counts.black, "frozen": counts.frozen,
            "regions outside": counts.regions_outside, "reconnects": counts.reconnects}  # fmt: skip
    numbers = [f"{value} {name}" for name, value in said.items() if value or name in ("frames", "dropped")]
    failed = [f"{output.name} failed: {output.reason}" for output in outputs if output.state == "failed"]
    return " · ".join([*numbers, *failed])
