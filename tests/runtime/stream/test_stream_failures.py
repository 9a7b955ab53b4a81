"""Sources that are lost, hang and pause; engines and detectors that fail: told, counted, and survived or ended."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from cameras import Connections, Gate, Step, around, failing
from footage import coloured
from watching import frames_of, states_of, watched_until

import capgan_edge
from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.failure import RunnerFailedError, SourceHungError


def _endless(letter: str) -> Iterator[Step]:
    """Yield frames, a short pause before each."""
    for mark in itertools.count():
        yield lambda: time.sleep(0.005)
        yield coloured(letter, mark)


def test_a_lost_source_is_an_event_and_is_opened_again(classifier: Classifier) -> None:
    is_seen = Gate()
    camera = Connections([coloured("r"), is_seen.wait], OSError("no route to host"), [coloured("b")])
    events = watched_until(capgan_edge.stream(classifier, camera, retry_s=0.01), 2, on_frame=is_seen.open)
    assert states_of(events) == ["connecting", "live", "lost", "connecting", "lost", "connecting", "live"]
    lost = [event for event in events if event.source_state == "lost"]
    assert all(event.frame_HWC is None and event.verdicts == () for event in lost)
    assert "no route to host" in (lost[1].reason or "")
    assert [event.verdicts[0].label for event in frames_of(events)] == ["stop", "go"]
    assert events[-1].counts.reconnects == 2
    assert all(opened.is_closed for opened in camera.cameras[:-1])


def test_tracks_and_votes_are_forgotten_with_the_source_that_showed_them(classifier: Classifier) -> None:
    is_seen = Gate()
    camera = Connections([coloured("r"), is_seen.wait], [coloured("b")])
    stream = capgan_edge.stream(classifier, camera, retry_s=0.01, vote=5)
    first, second = frames_of(watched_until(stream, 2, on_frame=is_seen.open))
    assert [(v.track_id, v.voted_label, v.vote_share) for v in first.verdicts] == [(0, "stop", 1.0)]
    assert [(v.track_id, v.voted_label, v.vote_share) for v in second.verdicts] == [(1, "go", 1.0)]


def test_no_verdict_of_a_source_that_was_lost_is_held_for_the_next_one(classifier: Classifier) -> None:
    gate, is_seen = Gate(), Gate()
    slow, _ = around(classifier, lambda number: gate.wait() if number == 2 else None)
    camera = Connections([coloured("r"), is_seen.wait], [coloured("b"), gate.wait])
    stream = capgan_edge.stream(slow, camera, deadline_ms=500, retry_s=0.01)
    first, second = frames_of(watched_until(stream, 2, on_frame=is_seen.open))
    gate.open()
    assert [verdict.label for verdict in first.verdicts] == ["stop"]
    assert (second.purifier_state, second.verdicts, second.held_age_ms) == ("held", (), None)


def test_a_late_pass_over_a_frame_of_a_source_that_was_lost_says_nothing_of_the_next_one(
    classifier: Classifier,
) -> None:
    gate, is_seen = Gate(), Gate()
    slow, runner = around(classifier, lambda number: gate.wait() if number == 1 else None)
    camera = Connections([coloured("r"), is_seen.wait], _endless("b"))
    stream = capgan_edge.stream(slow, camera, deadline_ms=300, retry_s=0.01, vote=5)
    frames = (event for event in stream if event.kind == "frame")
    held = [next(frames)]
    is_seen.open()
    held.append(next(frames))
    gate.open()
    later = list(itertools.islice(frames, 3))
    stream.close()
    assert [(event.purifier_state, event.verdicts) for event in held] == [("held", ())] * 2
    said = [verdict for event in later for verdict in event.verdicts]
    assert said, "the engine runs again"
    assert {(verdict.voted_label, verdict.vote_share) for verdict in said} == {("go", 1.0)}
    assert runner.num_calls >= 3


def test_a_camera_that_is_not_there_yet_is_lost_and_tried_again(classifier: Classifier) -> None:
    events: list[Event] = []
    stream = capgan_edge.stream(classifier, "/dev/video97", retry_s=0.01)
    for event in stream:
        events.append(event)
        if states_of(events).count("lost") == 2:
            break
    stream.close()
    assert states_of(events) == ["connecting", "lost", "connecting", "lost"]
    assert "/dev/video97, got no answer" in (events[1].reason or "")


def test_regions_outside_the_frame_are_counted(classifier: Classifier, video: Path) -> None:
    regions = [(0, 0, 20, 20), (1000, 0, 1020, 20), (0, -9, 20, -1)]
    events = list(capgan_edge.stream(classifier, video, every_frame=True, regions=regions))
    assert {len(event.verdicts) for event in frames_of(events)} == {1}
    assert events[-1].counts.regions_outside == 24


def test_a_capture_call_that_hangs_is_left_behind_and_its_frame_never_shows(classifier: Classifier) -> None:
    gate = Gate()
    camera = Connections([coloured("r"), gate.wait, coloured("g", 3)], [coloured("b"), gate.wait])
    stream = capgan_edge.stream(classifier, camera, stall_s=0.05, lost_s=0.1, retry_s=0.01)
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if len(frames_of(events)) == 2:
            gate.open()
            break
    stream.close()
    assert states_of(events) == ["connecting", "live", "stalled", "lost", "connecting", "live"]
    assert [event.verdicts[0].label for event in frames_of(events)] == ["stop", "go"]
    assert "did not return" in next(event.reason or "" for event in events if event.source_state == "lost")


def test_a_driver_that_hangs_again_and_again_ends_the_loop_before_threads_pile_up(classifier: Classifier) -> None:
    gate = Gate()
    scripts = [[gate.wait, coloured("r")] for _ in range(9)]
    got: list[Event] = []
    with pytest.raises(SourceHungError, match="4 calls of it hang") as caught:
        got.extend(capgan_edge.stream(classifier, Connections(*scripts), stall_s=0.02, lost_s=0.05))
    gate.open()
    assert caught.value.exit_code == 6
    assert states_of(got) == ["connecting", "lost", "connecting", "lost", "connecting", "lost", "connecting"]
    assert frames_of(got) == []


def test_a_source_that_only_pauses_is_stalled_and_live_again(classifier: Classifier) -> None:
    gate = Gate()
    camera = Connections([coloured("r"), gate.wait, coloured("g", 1)])
    stream = capgan_edge.stream(classifier, camera, stall_s=0.05, lost_s=30.0)
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if event.source_state == "stalled":
            gate.open()
        if len(frames_of(events)) == 2:
            break
    stream.close()
    assert states_of(events) == ["connecting", "live", "stalled", "live"]
    assert events[-1].counts.reconnects == 0


def test_a_slow_reader_is_no_stalled_source(classifier: Classifier, video: Path) -> None:
    events: list[Event] = []
    for event in capgan_edge.stream(classifier, video, every_frame=True, stall_s=0.02, lost_s=0.03):
        events.append(event)
        if event.frame_number in (2, 5):
            time.sleep(0.1)
    assert states_of(events) == ["connecting", "live", "ended"]
    assert events[-1].counts.frames == 12


def test_a_frame_that_fails_is_counted_and_the_loop_goes_on(classifier: Classifier, video: Path) -> None:
    broken, _ = around(classifier, failing(lambda number: number == 3))
    events = list(capgan_edge.stream(broken, video, every_frame=True))
    errors = [event for event in frames_of(events) if event.error]
    assert [(event.frame_number, event.verdicts) for event in errors] == [(2, ())]
    assert "failed in call 3" in (errors[0].error or "")
    assert (events[-1].counts.errors, events[-1].counts.frames) == (1, 12)


def test_a_detector_that_raises_is_a_frame_that_fails(classifier: Classifier, video: Path) -> None:
    def detector(frame_HWC: Any) -> list[Any]:
        if frame_HWC[40, 40].argmax() == 1:
            raise ZeroDivisionError("in the detector")
        return [(0, 0, 10, 10)]

    events = list(capgan_edge.stream(classifier, video, regions=detector, every_frame=True))
    assert [event.error for event in frames_of(events)].count("the detector: in the detector") == 4
    assert events[-1].counts.errors == 4


def test_a_detector_that_always_fails_is_counted_and_is_no_engine_that_fails(
    classifier: Classifier, video: Path
) -> None:
    def detector(frame_HWC: Any) -> list[Any]:
        raise RuntimeError

    events = list(capgan_edge.stream(classifier, video, regions=detector, every_frame=True, max_failures=2))
    assert (events[-1].counts.frames, events[-1].counts.errors) == (12, 12)
    assert {event.error for event in frames_of(events)} == {"the detector: RuntimeError"}


def test_a_detector_that_fails_does_not_hide_an_engine_that_fails(classifier: Classifier, video: Path) -> None:
    num_asked = itertools.count()

    def detector(frame_HWC: Any) -> list[Any]:
        return [] if next(num_asked) % 2 else [(0, 0, 10, 10)]

    broken, _ = around(classifier, failing(lambda number: number >= 1))
    with pytest.raises(RunnerFailedError, match="3 in a row failed"):
        list(capgan_edge.stream(broken, video, regions=detector, every_frame=True, max_failures=2))


def test_late_passes_that_succeed_are_no_failures_in_a_row(classifier: Classifier) -> None:
    def before(number: int) -> None:
        time.sleep(0.03 if number else 0)
        if number % 3 == 2:
            raise CapganError("a hiccup")

    hiccups, _ = around(classifier, before)
    camera = Connections(_endless("r"))
    stream = capgan_edge.stream(hiccups, camera, deadline_ms=10, max_failures=2)
    for event in stream:
        if event.counts.errors == 5:
            break
    stream.close()
    assert event.counts.held > 0
    assert event.error == "a hiccup"


def test_a_runner_that_keeps_failing_ends_the_loop_with_exit_3(classifier: Classifier, video: Path) -> None:
    broken, runner = around(classifier, failing(lambda number: number >= 3))
    got: list[Event] = []
    with pytest.raises(RunnerFailedError, match="4 in a row failed") as caught:
        got.extend(capgan_edge.stream(broken, video, every_frame=True, max_failures=3))
    assert caught.value.exit_code == 3
    assert [bool(event.error) for event in frames_of(got)] == [False, False, True, True, True, True]
    assert runner.num_calls == 7


def test_a_runner_that_never_ran_is_told_before_the_source_is_opened(classifier: Classifier) -> None:
    broken, _ = around(classifier, failing(lambda number: True))
    camera = Connections([coloured("r")])
    with pytest.raises(RunnerFailedError, match="before the first frame"):
        capgan_edge.stream(broken, camera)
    assert camera.num_opened == 0


def test_a_runner_that_fails_once_in_the_warm_up_runs(classifier: Classifier, video: Path) -> None:
    broken, _ = around(classifier, failing(lambda number: number == 0))
    assert len(frames_of(list(capgan_edge.stream(broken, video, every_frame=True)))) == 12


def test_a_pipeline_is_refused_where_opencv_has_no_gstreamer(classifier: Classifier) -> None:
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        events = watched_until(capgan_edge.stream(classifier, "videotestsrc pattern=snow ! videoconvert ! appsink"), 1)
        assert states_of(events) == ["connecting", "live"]
        return
    with pytest.raises(ConfigError, match="OpenCV with GStreamer"):
        list(capgan_edge.stream(classifier, "videotestsrc ! appsink"))
