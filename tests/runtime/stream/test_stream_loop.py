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
from cameras import Connections, Gate, around
from footage import LABEL_OF, coloured, colours_of, write_video
from watching import frames_of, states_of, watched_until

import capgan_edge
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.regions import Grid


def test_every_frame_of_a_file_gets_its_verdict_in_order(classifier: Classifier, video: Path) -> None:
    events = list(capgan_edge.stream(classifier, video, every_frame=True, vote=1))
    frames = frames_of(events)
    assert [event.verdicts[0].label for event in frames] == [LABEL_OF[letter] for letter in "rrrrggggbbbb"]
    assert [event.frame_number for event in frames] == list(range(12))
    assert [event.number for event in events] == list(range(len(events)))
    assert states_of(events) == ["connecting", "live", "ended"]
    assert events[-1].counts.frames == 12
    assert events[-1].counts.dropped == 0


def test_a_frames_event_says_all_that_it_should(classifier: Classifier, video: Path) -> None:
    (event,) = watched_until(capgan_edge.stream(classifier, str(video), every_frame=True), 1)[2:]
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
    events = watched_until(capgan_edge.stream(classifier, video, every_frame=True, is_looped=True), 100)
    assert states_of(events) == ["connecting", "live"]
    assert [event.frame_number for event in frames_of(events)] == list(range(100))


def test_a_folder_of_images_keeps_each_size_and_counts_what_cannot_be_read(
    classifier: Classifier, tmp_path: Path
) -> None:
    for name, letter, size_px in (("a.png", "b", (40, 30)), ("c.png", "r", (20, 50)), ("d.jpg", "g", (64, 64))):
        cv2.imwrite(str(tmp_path / name), coloured(letter, size_px=size_px)[..., ::-1])
    (tmp_path / "b.png").write_bytes(b"no image")
    events = list(capgan_edge.stream(classifier, tmp_path, every_frame=True, vote=1))
    seen = [
        (event.verdicts[0].label, event.frame_HWC.shape[:2])
        for event in frames_of(events)
        if event.frame_HWC is not None
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
    assert 0 < len(frames_of(events)) < 20


def test_regions_are_classified_as_one_batch_and_tracked(classifier: Classifier) -> None:
    picture = np.concatenate([coloured("r"), coloured("b")], axis=1)
    watched, runner = around(classifier, lambda number: None)
    is_seen = Gate()
    camera = Connections([picture, is_seen.wait, picture[::-1].copy()])
    events: list[Event] = []
    stream = capgan_edge.stream(watched, camera, regions=Grid(1, 2))
    for event in stream:
        if event.kind == "frame":
            events.append(event)
            is_seen.open()
        if len(events) == 2:
            break
    stream.close()
    for event in events:
        assert [(v.label, v.track_id) for v in event.verdicts] == [("stop", 0), ("go", 1)]
    assert runner.batches == [2, 2, 2]  # the warm-up is one batch of the same size


def test_more_regions_than_the_engine_takes_are_split(classifier: Classifier) -> None:
    watched, runner = around(classifier, lambda number: None, max_batch=4)
    (event,) = frames_of(
        watched_until(capgan_edge.stream(watched, Connections([coloured("g")]), regions=Grid(3, 3)), 1)
    )
    assert [verdict.label for verdict in event.verdicts] == ["yield"] * 9
    assert max(runner.batches) == 4


def test_a_detector_that_finds_nothing_costs_no_pass_and_says_so(classifier: Classifier) -> None:
    watched, runner = around(classifier, lambda number: None)
    (event,) = frames_of(
        watched_until(capgan_edge.stream(watched, Connections([coloured("g")]), regions=lambda frame: []), 1)
    )
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
