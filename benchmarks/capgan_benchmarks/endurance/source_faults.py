"""Faults of a camera loop's source: it dies, stalls, changes its size, sends what is no picture, or ends."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import capgan_edge
from capgan_benchmarks.endurance.answers import tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.fault import Fault, must
from capgan_benchmarks.endurance.footage import KnownVideo, opened_classifier, sign_video
from capgan_benchmarks.endurance.mjpeg_camera import Part, mjpeg_camera
from capgan_benchmarks.endurance.process import camera_loop
from capgan_benchmarks.endurance.two_signs import two_signs
from capgan_edge.runtime.stream.event import Event

_PATIENCE_S = 60.0
_NUM_FIRST, _NUM_SECOND = 25, 2000
"""Pictures before and after the fault; the second kind goes on until it was seen."""
_JUNK = b"this is no JPEG" * 40


def dies(bench: Bench) -> str:
    """Close the connection in the middle, and take the next one."""
    first, second = two_signs(bench)
    events = _watched(bench, [first.some(_NUM_FIRST), second.some(_NUM_SECOND)], until=second.label)
    states = _states(events)
    must(states == ["connecting", "live", "lost", "connecting", "live"], f"the source was said to be {_chain(states)}")
    return f"{_chain(states)}; {_seen_of(events, {first.label, second.label})}"


def stalls(bench: Bench) -> str:
    """Keep the connection and send nothing more; take the next one."""
    first, second = two_signs(bench)
    events = _watched(bench, [[*first.some(_NUM_FIRST), 120.0], second.some(_NUM_SECOND)], until=second.label)
    states = _states(events)
    must(states[:4] == ["connecting", "live", "stalled", "lost"] and states[-1] == "live",
         f"the source was said to be {_chain(states)}")  # fmt: skip
    num_first = sum(_label(event) == first.label for event in _frames(events))
    must(num_first <= _NUM_FIRST, f"{num_first} frames came of {_NUM_FIRST} that were sent")
    return f"{_chain(states)}; {_seen_of(events, {first.label, second.label})}"


def changes_size(bench: Bench) -> str:
    """Send pictures of twice the size from one picture to the next."""
    first, second = two_signs(bench)
    script = [*first.some(_NUM_FIRST), *second.some(_NUM_SECOND, large=True)]
    events = _watched(bench, [script], until=second.label)
    must(events[-1].counts.errors == 0, f"{events[-1].counts.errors} frames failed")
    return f"{_chain(_states(events))}; {_seen_of(events, {first.label, second.label})}"


def sends_junk(bench: Bench) -> str:
    """Send bytes that are no JPEG between pictures."""
    first, second = two_signs(bench)
    script = [*first.some(_NUM_FIRST), _JUNK, *first.some(10), _JUNK, *second.some(_NUM_SECOND)]
    events = _watched(bench, [script], until=second.label)
    states, counts = _states(events), events[-1].counts
    must(states == ["connecting", "live"], f"the source was said to be {_chain(states)}")
    must(counts.unreadable == 2, f"{counts.unreadable} pictures were counted as unreadable, of 2 that were sent")
    return f"2 counted as unreadable; {_seen_of(events, {first.label, second.label})}"


def ends(bench: Bench) -> str:
    """Run `capgan-edge run --every-frame` on a short video, to its end."""
    known = KnownVideo(bench, sign_video(bench, 40))
    with camera_loop(bench, "--source", str(known.path), "--every-frame", "--vote", "1") as process:
        ended = process.wait()
    rows = [json.loads(line) for line in ended.out.splitlines()]
    tally = tally_of(known.kind_of(row) for row in rows if row["kind"] == "frame")
    must(ended.code == 0, f"exit {ended.code}: {ended.err.strip()[-200:]}")
    must(rows[-1]["source_state"] == "ended", f"the last event says {rows[-1]['source_state']}")
    must(tally.right == len(known) == tally.asked, f"{tally.right} of {len(known)} frames with their verdict")
    return f"{tally.right} frames with their own verdict, then ended, exit 0"


def _watched(bench: Bench, scripts: Sequence[Sequence[Part]], *, until: str) -> list[Event]:
    """Return the events up to the first verdict `until`, or the end of patience."""
    events: list[Event] = []
    until_s = time.monotonic() + _PATIENCE_S
    with mjpeg_camera(*scripts) as address, opened_classifier(bench) as classifier:
        stream = capgan_edge.stream(classifier, address, vote=1, stall_s=0.5, lost_s=1.5, retry_s=0.1)
        for event in stream:
            events.append(event)
            if _label(event) == until or time.monotonic() > until_s:
                break
        stream.close()
    return events


def _seen_of(events: list[Event], sent: set[str]) -> str:
    """Check what is common to all: no frame is invented, and each has a verdict of what was sent."""
    frames = _frames(events)
    invented = [event for event in events if event.kind == "source" and (event.frame_HWC is not None or event.verdicts)]
    must(not invented, f"{len(invented)} changes of the source came with a frame")
    labels = {_label(event) for event in frames}
    must(labels == sent, f"verdicts were {', '.join(sorted(map(str, labels)))}, sent were {', '.join(sorted(sent))}")
    return f"{len(frames)} frames, all with a verdict of what was sent"


def _frames(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "frame"]


def _states(events: list[Event]) -> list[str]:
    return [event.source_state for event in events if event.kind == "source"]


def _label(event: Event) -> str | None:
    return event.verdicts[0].label if event.verdicts else None


def _chain(states: list[str]) -> str:
    return " > ".join(states)


_TOLD_AND_OPENED_AGAIN = "told, opened again, the new frames get their verdicts; no frame is invented"
FAULTS = (
    Fault("camera loop", "source dies", _TOLD_AND_OPENED_AGAIN, dies),
    Fault("camera loop", "source stalls", _TOLD_AND_OPENED_AGAIN, stalls),
    Fault("camera loop", "source changes its size", "verdicts go on, no frame fails", changes_size),
    Fault("camera loop", "source sends corrupt JPEG", "counted as unreadable, the next pictures are seen", sends_junk),
    Fault("camera loop", "file ends", "every frame has its verdict, then `ended`, exit 0", ends),
)
