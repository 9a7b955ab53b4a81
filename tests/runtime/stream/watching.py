"""Events of a loop, sorted for tests, and one that is made by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator

from footage import coloured

from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.event import Event, RegionVerdict


def frames_of(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "frame"]


def states_of(events: list[Event]) -> list[str]:
    return [event.source_state for event in events if event.kind == "source"]


def watched_until(
    events: Generator[Event, None, None], num_frames: int, *, on_frame: Callable[[], None] | None = None
) -> list[Event]:
    """Return the events up to the `num_frames`-th frame, and let go of the source; `on_frame` follows each frame."""
    got: list[Event] = []
    for event in events:
        got.append(event)
        if event.kind == "frame" and on_frame is not None:
            on_frame()
        if sum(other.kind == "frame" for other in got) == num_frames:
            break
    events.close()
    return got


def made_event(*, suspicion: float = 0.5, is_alarm: bool | None = None, size_px: tuple[int, int] = (96, 128)) -> Event:
    verdict = RegionVerdict(box=Box(40, 30, 100, 80), track_id=3, index=0, label="stöp", score=0.93, raw_label="go",
                            suspicion=suspicion, is_alarm=is_alarm, voted_label="stöp", vote_share=1.0)  # fmt: skip
    return Event(kind="frame", number=0, source_state="live", frame_number=0, captured_s=1.0, age_ms=12.0, health="ok",
                 purifier_state="active", verdicts=(verdict,), suspicion=suspicion, is_alarm=is_alarm,
                 frame_HWC=coloured("b", size_px=size_px))  # fmt: skip
