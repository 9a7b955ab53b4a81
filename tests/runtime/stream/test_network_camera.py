"""An MJPEG camera over real HTTP: one that dies, stalls, sends corrupt pictures, and changes its size."""

from __future__ import annotations

from collections.abc import Callable

from footage import coloured, jpeg
from mjpeg_server import mjpeg_camera

import capgan_edge
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.event import Event

RED = [jpeg(coloured("r", mark)) for mark in range(20)]
BLUE = [jpeg(coloured("b", mark)) for mark in range(400)]


def _watched(classifier: Classifier, address: str, is_enough: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    stream = capgan_edge.stream(classifier, address, stall_s=0.2, lost_s=0.6, retry_s=0.05, vote=1)
    for event in stream:
        events.append(event)
        if is_enough(events) or len(events) > 900:
            break
    stream.close()
    return events


def _labels(events: list[Event]) -> list[str]:
    return [event.verdicts[0].label for event in events if event.verdicts]


def _states(events: list[Event]) -> list[str]:
    return [event.source_state for event in events if event.kind == "source"]


def _has_blue(events: list[Event]) -> bool:
    return "go" in _labels(events[-1:])


def test_a_camera_that_dies_is_lost_and_found_again(classifier: Classifier) -> None:
    with mjpeg_camera(RED, BLUE) as address:
        events = _watched(classifier, address, _has_blue)
    assert _states(events) == ["connecting", "live", "lost", "connecting", "live"]
    assert set(_labels(events)) == {"stop", "go"}
    assert events[-1].counts.reconnects == 1


def test_a_camera_that_stalls_is_stalled_then_lost_then_live_again(classifier: Classifier) -> None:
    with mjpeg_camera([*RED, 60.0], BLUE) as address:
        events = _watched(classifier, address, _has_blue)
    states = _states(events)
    assert states[:4] == ["connecting", "live", "stalled", "lost"]
    assert states[-1] == "live"
    num_red = _labels(events).count("stop")
    assert 0 < num_red <= len(RED)  # no frame more than it sent


def test_pictures_that_are_none_are_counted_and_the_next_ones_seen(classifier: Classifier) -> None:
    junk = [b"this is no JPEG" * 20]
    with mjpeg_camera([*RED[:8], *junk, *RED[8:16], *junk, *BLUE]) as address:
        events = _watched(classifier, address, _has_blue)
    assert _states(events) == ["connecting", "live"]
    assert events[-1].counts.unreadable == 2
    assert "stop" in _labels(events)


def test_a_camera_that_changes_its_size_is_still_understood(classifier: Classifier) -> None:
    large = [jpeg(coloured("b", mark, (96, 128))) for mark in range(200)]
    with mjpeg_camera([*RED, *large]) as address:
        events = _watched(classifier, address, _has_blue)
    assert _states(events) == ["connecting", "live"]
    assert set(_labels(events)) == {"stop", "go"}


def test_an_address_where_nobody_answers_is_lost_and_says_so(classifier: Classifier) -> None:
    with mjpeg_camera(RED) as address:
        pass  # closed again: the port is free now
    events = _watched(classifier, address, lambda got: _states(got).count("lost") == 2)
    assert _states(events) == ["connecting", "lost", "connecting", "lost"]
    assert "check that it is on and reachable" in (events[1].reason or "")
    assert not any(event.kind == "frame" for event in events)
