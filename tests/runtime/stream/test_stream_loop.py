"""The loop end to end, on real recordings and on cameras that have a bad day."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cameras import Connections, Gate, around, failing
from footage import LABEL_OF, coloured, colours_of, write_video

import capgan_edge
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.failure import RunnerFailedError, SourceHungError
from capgan_edge.runtime.stream.regions import Grid


def _frames(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "frame"]


def _states(events: list[Event]) -> list[str]:
    return [event.source_state for event in events if event.kind == "source"]


def _until(events: Any, num_frames: int) -> list[Event]:
    """Return the events up to the `num_frames`-th frame, and let go of the source."""
    got: list[Event] = []
    for event in events:
        got.append(event)
        if sum(other.kind == "frame" for other in got) == num_frames:
            break
    events.close()
    return got


def test_every_frame_of_a_file_gets_its_verdict_in_order(classifier: Classifier, video: Path) -> None:
    events = list(capgan_edge.stream(classifier, video, every_frame=True, vote=1))
    frames = _frames(events)
    assert [event.verdicts[0].label for event in frames] == [LABEL_OF[letter] for letter in "rrrrggggbbbb"]
    assert [event.frame_number for event in frames] == list(range(12))
    assert [event.number for event in events] == list(range(len(events)))
    assert _states(events) == ["connecting", "live", "ended"]
    assert events[-1].counts.frames == 12
    assert events[-1].counts.dropped == 0


def test_a_frames_event_says_all_that_it_should(classifier: Classifier, video: Path) -> None:
    (event,) = _until(capgan_edge.stream(classifier, str(video), every_frame=True), 1)[2:]
    (verdict,) = event.verdicts
    assert (verdict.box, verdict.label, verdict.track_id) == (Box(0, 0, 64, 48), "stop", 0)
    assert verdict.raw_label in ("yield", "go")
    assert event.suspicion == verdict.suspicion == pytest.approx(260 / 3 / 255, abs=0.05)
    assert (event.purifier_state, event.health, event.source_state) == ("active", "ok", "live")
    assert event.frame_HWC is not None
    assert event.frame_HWC.shape == (48, 64, 3)
    assert event.frame_HWC[40, 40].argmax() == 0  # RGB
    split = event.latency
    assert split is not None
    assert min(split.capture_ms, split.resize_ms or 0, split.inference_ms or 0, split.post_ms) > 0
    assert event.age_ms is not None
    assert event.age_ms >= (split.resize_ms or 0) + (split.inference_ms or 0)
    assert abs((event.captured_s or 0) - time.time()) < 60


def test_at_a_files_own_pace_the_newest_frame_wins_and_drops_are_counted(
    classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "fast.mp4"
    write_video(path, colours_of("rgb" * 20), fps=240)
    frames: list[Event] = []
    for event in capgan_edge.stream(classifier, path):
        if event.kind == "frame":
            frames.append(event)
            time.sleep(0.03)
    numbers = [event.frame_number or 0 for event in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 59  # the last frame is not lost
    assert len(frames) < 60
    assert len(frames) + event.counts.dropped == 60


def test_a_file_is_looped_without_growing_the_stack_or_being_lost(classifier: Classifier, video: Path) -> None:
    events = _until(capgan_edge.stream(classifier, video, every_frame=True, is_looped=True), 100)
    assert _states(events) == ["connecting", "live"]
    assert [event.frame_number for event in _frames(events)] == list(range(100))


def test_a_folder_of_images_keeps_each_size_and_counts_what_cannot_be_read(
    classifier: Classifier, tmp_path: Path
) -> None:
    for name, letter, size_px in (("a.png", "b", (40, 30)), ("c.png", "r", (20, 50)), ("d.jpg", "g", (64, 64))):
        cv2.imwrite(str(tmp_path / name), coloured(letter, size_px=size_px)[..., ::-1])
    (tmp_path / "b.png").write_bytes(b"no image")
    events = list(capgan_edge.stream(classifier, tmp_path, every_frame=True, vote=1))
    seen = [
        (event.verdicts[0].label, event.frame_HWC.shape[:2]) for event in _frames(events) if event.frame_HWC is not None
    ]
    assert seen == [("go", (40, 30)), ("stop", (20, 50)), ("yield", (64, 64))]
    assert events[-1].counts.unreadable == 1


def test_a_file_that_is_no_video_ends_the_loop_at_once(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot read"):
        list(capgan_edge.stream(classifier, tmp_path / "text.mp4"))


def test_a_video_cut_in_half_gives_what_is_there_and_ends(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "whole.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer.write(rng.integers(0, 256, (240, 320, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    events = list(capgan_edge.stream(classifier, path, every_frame=True))
    assert events[-1].source_state == "ended"
    assert 0 < len(_frames(events)) < 20


def test_regions_are_classified_as_one_batch_and_tracked(classifier: Classifier) -> None:
    picture = np.concatenate([coloured("r"), coloured("b")], axis=1)
    watched, runner = around(classifier, lambda number: None)
    camera = Connections([picture, picture[::-1].copy()])
    events = _frames(_until(capgan_edge.stream(watched, camera, regions=Grid(1, 2)), 2))
    for event in events:
        assert [(v.label, v.track_id) for v in event.verdicts] == [("stop", 0), ("go", 1)]
    assert runner.batches == [2, 2, 2]  # the warm-up is one batch of the same size


def test_more_regions_than_the_engine_takes_are_split(classifier: Classifier) -> None:
    watched, runner = around(classifier, lambda number: None, max_batch=4)
    (event,) = _frames(_until(capgan_edge.stream(watched, Connections([coloured("g")]), regions=Grid(3, 3)), 1))
    assert [verdict.label for verdict in event.verdicts] == ["yield"] * 9
    assert max(runner.batches) == 4


def test_a_detector_that_finds_nothing_costs_no_pass_and_says_so(classifier: Classifier) -> None:
    watched, runner = around(classifier, lambda number: None)
    (event,) = _frames(_until(capgan_edge.stream(watched, Connections([coloured("g")]), regions=lambda frame: []), 1))
    assert (event.verdicts, event.purifier_state, event.suspicion) == ((), "idle", None)
    assert runner.num_calls == 1


def test_black_and_frozen_frames_are_labelled_and_not_classified(classifier: Classifier) -> None:
    watched, runner = around(classifier, lambda number: None)
    taken = threading.Semaphore(0)

    def wait_for_it() -> None:
        assert taken.acquire(timeout=20)

    still = coloured("r")
    steps: list[Any] = []
    for frame_HWC in (still, still.copy(), still.copy(), np.zeros((48, 64, 3), np.uint8), coloured("g", 1)):
        steps += [frame_HWC, wait_for_it]
    events: list[Event] = []
    stream = capgan_edge.stream(watched, Connections(steps), frozen_after=3)
    for event in stream:
        if event.kind == "frame":
            events.append(event)
            taken.release()
        if len(events) == 5:
            break
    stream.close()
    assert [event.health for event in events] == ["ok", "ok", "frozen", "black", "ok"]
    assert [len(event.verdicts) for event in events] == [1, 1, 0, 0, 1]
    assert [event.purifier_state for event in events[2:4]] == ["idle", "idle"]
    assert (events[-1].counts.black, events[-1].counts.frozen) == (1, 1)
    assert runner.num_calls == 4  # the warm-up and three frames


def test_a_lost_source_is_an_event_and_is_opened_again(classifier: Classifier) -> None:
    camera = Connections([coloured("r")], OSError("no route to host"), [coloured("b")])
    events = _until(capgan_edge.stream(classifier, camera, retry_s=0.01), 2)
    assert _states(events) == ["connecting", "live", "lost", "connecting", "lost", "connecting", "live"]
    lost = [event for event in events if event.source_state == "lost"]
    assert all(event.frame_HWC is None and event.verdicts == () for event in lost)
    assert "no route to host" in (lost[1].reason or "")
    assert [event.verdicts[0].label for event in _frames(events)] == ["stop", "go"]
    assert events[-1].counts.reconnects == 2
    assert all(opened.is_closed for opened in camera.cameras[:-1])


def test_a_capture_call_that_hangs_is_left_behind_and_its_frame_never_shows(classifier: Classifier) -> None:
    gate = Gate()
    camera = Connections([coloured("r"), gate.wait, coloured("g", 3)], [coloured("b"), gate.wait])
    stream = capgan_edge.stream(classifier, camera, stall_s=0.05, lost_s=0.1, retry_s=0.01)
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if len(_frames(events)) == 2:
            gate.open()
            break
    stream.close()
    assert _states(events) == ["connecting", "live", "stalled", "lost", "connecting", "live"]
    assert [event.verdicts[0].label for event in _frames(events)] == ["stop", "go"]
    assert "did not return" in next(event.reason or "" for event in events if event.source_state == "lost")


def test_a_driver_that_hangs_again_and_again_ends_the_loop_before_threads_pile_up(classifier: Classifier) -> None:
    gate = Gate()
    scripts = [[gate.wait, coloured("r")] for _ in range(9)]
    got: list[Event] = []
    with pytest.raises(SourceHungError, match="4 calls of it hang") as caught:
        got.extend(capgan_edge.stream(classifier, Connections(*scripts), stall_s=0.02, lost_s=0.05))
    gate.open()
    assert caught.value.exit_code == 6
    assert _states(got) == ["connecting", "lost", "connecting", "lost", "connecting", "lost", "connecting"]
    assert _frames(got) == []


def test_a_source_that_only_pauses_is_stalled_and_live_again(classifier: Classifier) -> None:
    gate = Gate()
    camera = Connections([coloured("r"), gate.wait, coloured("g", 1)])
    stream = capgan_edge.stream(classifier, camera, stall_s=0.05, lost_s=30.0)
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if event.source_state == "stalled":
            gate.open()
        if len(_frames(events)) == 2:
            break
    stream.close()
    assert _states(events) == ["connecting", "live", "stalled", "live"]
    assert events[-1].counts.reconnects == 0


def test_a_slow_reader_is_no_stalled_source(classifier: Classifier, video: Path) -> None:
    events: list[Event] = []
    for event in capgan_edge.stream(classifier, video, every_frame=True, stall_s=0.02, lost_s=0.03):
        events.append(event)
        if event.frame_number in (2, 5):
            time.sleep(0.1)
    assert _states(events) == ["connecting", "live", "ended"]
    assert events[-1].counts.frames == 12


def test_a_frame_that_fails_is_counted_and_the_loop_goes_on(classifier: Classifier, video: Path) -> None:
    broken, _ = around(classifier, failing(lambda number: number == 3))
    events = list(capgan_edge.stream(broken, video, every_frame=True))
    errors = [event for event in _frames(events) if event.error]
    assert [(event.frame_number, event.verdicts) for event in errors] == [(2, ())]
    assert "failed in call 3" in (errors[0].error or "")
    assert (events[-1].counts.errors, events[-1].counts.frames) == (1, 12)


def test_a_detector_that_raises_is_a_frame_that_fails(classifier: Classifier, video: Path) -> None:
    def detector(frame_HWC: Any) -> list[Any]:
        if frame_HWC[40, 40].argmax() == 1:
            raise ZeroDivisionError("in the detector")
        return [(0, 0, 10, 10)]

    events = list(capgan_edge.stream(classifier, video, regions=detector, every_frame=True))
    assert [event.error for event in _frames(events)].count("in the detector") == 4


def test_a_runner_that_keeps_failing_ends_the_loop_with_exit_3(classifier: Classifier, video: Path) -> None:
    broken, runner = around(classifier, failing(lambda number: number >= 3))
    got: list[Event] = []
    with pytest.raises(RunnerFailedError, match="4 in a row failed") as caught:
        got.extend(capgan_edge.stream(broken, video, every_frame=True, max_failures=3))
    assert caught.value.exit_code == 3
    assert [bool(event.error) for event in _frames(got)] == [False, False, True, True, True, True]
    assert runner.num_calls == 7


def test_a_runner_that_never_ran_is_told_before_the_source_is_opened(classifier: Classifier) -> None:
    broken, _ = around(classifier, failing(lambda number: True))
    camera = Connections([coloured("r")])
    with pytest.raises(RunnerFailedError, match="before the first frame"):
        capgan_edge.stream(broken, camera)
    assert camera.num_opened == 0


def test_a_runner_that_fails_once_in_the_warm_up_runs(classifier: Classifier, video: Path) -> None:
    broken, _ = around(classifier, failing(lambda number: number == 0))
    assert len(_frames(list(capgan_edge.stream(broken, video, every_frame=True)))) == 12


def test_a_clock_that_jumps_changes_no_age_and_no_time(
    classifier: Classifier, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    ages: list[float] = []
    times: list[float] = []
    for event in capgan_edge.stream(classifier, video, every_frame=True):
        if event.kind == "frame":
            jump_s = (-1) ** len(ages) * 86_400.0
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: real() + jump_s)
            ages.append(event.age_ms or -1)
            times.append(event.captured_s or 0)
    assert all(0 <= age_ms < 60_000 for age_ms in ages)
    assert times == sorted(times)
    assert times[-1] - times[0] < 3600


def test_stop_ends_the_loop_and_lets_go_of_the_source(classifier: Classifier) -> None:
    stop = threading.Event()
    camera = Connections(coloured("r", mark) for mark in itertools.count())
    for event in capgan_edge.stream(classifier, camera, stop=stop):
        if event.kind == "frame":
            stop.set()
    assert camera.cameras[0].is_closed
    assert "capture" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_frame": True}, "does not wait"),
        ({"on_deadline_miss": "panic"}, "hold, bypass, stop"),
        ({"vote": 0}, "vote is a count"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"stall_s": 20}, "stalls before it is lost"),
        ({"lost_s": float("nan")}, "lost_s"),
        ({"colour": "red"}, "expected options among"),
        ({"regions": "halves"}, "regions is whole"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_opened(
    classifier: Classifier, options: dict[str, Any], message: str
) -> None:
    camera = Connections([coloured("r")])
    with pytest.raises(ConfigError, match=message):
        capgan_edge.stream(classifier, camera, **options)
    assert camera.num_opened == 0


def test_a_pipeline_is_refused_where_opencv_has_no_gstreamer(classifier: Classifier) -> None:
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        events = _until(capgan_edge.stream(classifier, "videotestsrc pattern=snow ! videoconvert ! appsink"), 1)
        assert _states(events) == ["connecting", "live"]
        return
    with pytest.raises(ConfigError, match="OpenCV with GStreamer"):
        list(capgan_edge.stream(classifier, "videotestsrc ! appsink"))
