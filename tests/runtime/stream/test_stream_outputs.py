"""Annotated video, JSON lines, metrics over HTTP, the terminal view; and outputs that fail without taking the loop."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from cameras import around
from rich.console import Console
from watching import made_event

import capgan_edge
from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.annotation import Annotator, caption_of
from capgan_edge.runtime.stream.event import Counts, Event
from capgan_edge.runtime.stream.json_lines import JsonLines
from capgan_edge.runtime.stream.metrics import Metrics
from capgan_edge.runtime.stream.saving import SavedVideo
from capgan_edge.runtime.stream.sink import Output
from capgan_edge.runtime.stream.view import TerminalView
from capgan_edge.runtime.stream.window import Window, has_gui


def _frames_in(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    while capture.grab():
        frames.append(capture.retrieve()[1])
    capture.release()
    return frames


def test_drawing_leaves_the_events_own_frame_alone_and_shows_the_box(classifier: Classifier) -> None:
    event = made_event()
    assert event.frame_HWC is not None
    before = event.frame_HWC.copy()
    picture = Annotator().draw(event)
    assert (event.frame_HWC == before).all()
    assert (picture != before).any(axis=2)[30:80, 40].all()  # the box's left edge
    assert (picture[90, 120] == before[90, 120]).all()


def test_the_suspicion_bar_is_as_long_as_the_suspicion() -> None:
    widths = []
    for suspicion in (0.25, 0.75):
        row = Annotator().draw(made_event(suspicion=suspicion))[77, 42:98]
        widths.append(int((row[:, 0] > 150).sum()))
    assert widths == [pytest.approx(13, abs=2), pytest.approx(43, abs=2)]


def test_an_alarm_has_a_colour_of_its_own() -> None:
    calm, alarm = (Annotator().draw(made_event(is_alarm=is_alarm))[50, 40] for is_alarm in (False, True))
    assert alarm[0] > alarm[1]
    assert calm[1] > calm[0]


def test_a_score_stands_beside_its_own_class_and_the_vote_beside_it_where_it_differs() -> None:
    (verdict,) = made_event().verdicts
    assert caption_of(verdict) == "#3 stöp 0.93 (unpurified: go)"
    outvoted = replace(verdict, voted_label="yield", vote_share=0.8, raw_label="stöp")
    assert caption_of(outvoted) == "#3 stöp 0.93 (vote: yield 80%)"
    assert caption_of(replace(verdict, raw_label=None)) == "#3 stöp 0.93"


def test_the_inset_is_the_purified_crop_of_what_is_suspected_most(classifier: Classifier, video: Path) -> None:
    watched, runner = around(classifier, lambda number: None)
    events = capgan_edge.stream(watched, video, every_frame=True, with_purified=True,
                                regions=[(0, 0, 32, 48), (32, 0, 64, 48)])  # fmt: skip
    frames = [event for event in events if event.kind == "frame"]
    assert runner.batches == [2] * (1 + len(frames)), "the warm-up, and one pass a frame"
    for event in frames:
        assert event.frame_HWC is not None
        assert event.purified_HWC is not None
        box = max(event.verdicts, key=lambda verdict: verdict.suspicion or 0.0).box
        crop_HWC = event.frame_HWC[box.top : box.bottom, box.left : box.right]
        assert (event.purified_HWC == classifier.purify(crop_HWC)[0]).all()
        picture = Annotator().draw(event)
        assert np.abs(picture[6, 6].astype(int) - event.purified_HWC[4, 4]).max() <= 3
        assert "purified_HWC" not in event.as_json()


def test_without_an_inset_nothing_is_copied_or_drawn(classifier: Classifier, video: Path) -> None:
    event = next(event for event in capgan_edge.stream(classifier, video, every_frame=True) if event.kind == "frame")
    assert event.frame_HWC is not None
    assert event.purified_HWC is None
    assert (Annotator().draw(event)[6, 6] == event.frame_HWC[6, 6]).all()


def test_a_saved_video_has_a_frame_for_each_framesmade_event(
    classifier: Classifier, events: list[Event], tmp_path: Path
) -> None:
    saved = SavedVideo(tmp_path / "out.mp4", Annotator())
    for event in events:
        saved.write(event)
    saved.close()
    frames = _frames_in(tmp_path / "out.mp4")
    assert len(frames) == sum(event.kind == "frame" for event in events) == 12
    assert frames[0].shape == (48, 64, 3)


def test_a_source_that_changes_its_size_is_fitted_into_the_same_video(tmp_path: Path) -> None:
    saved = SavedVideo(tmp_path / "out.avi", Annotator())
    for size_px in ((96, 128), (96, 128), (200, 128), (97, 129), (40, 300)):
        saved.write(made_event(size_px=size_px))
    saved.close()
    assert [frame.shape for frame in _frames_in(tmp_path / "out.avi")] == [(96, 128, 3)] * 5


@pytest.mark.parametrize("name", ["out.txt", "out", "none/out.mp4"])
def test_a_video_that_cannot_be_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(CapganError):
        SavedVideo(tmp_path / name, Annotator())


def test_a_disk_that_fills_stops_the_saving_while_the_video_can_still_be_finished(tmp_path: Path) -> None:
    free = iter([1 << 40] * 5 + [1 << 20] * 9)
    path = tmp_path / "out.mp4"
    output = Output("--save", SavedVideo(path, Annotator(), free_bytes=lambda folder: next(free)))
    assert [output.write(made_event()) for _ in range(7)] == [False] * 4 + [True] + [False] * 2
    assert (output.state, output.num_lost) == ("failed", 2)
    assert "free some space" in (output.reason or "")
    assert output.close() is False
    assert len(_frames_in(path)) == 4


def test_a_disk_that_is_full_already_is_told_before_the_loop_begins(tmp_path: Path) -> None:
    with pytest.raises(CapganError, match="32 MiB free"):
        SavedVideo(tmp_path / "out.mp4", Annotator(), free_bytes=lambda folder: 100)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    served = Metrics(0)
    yield served
    served.close()


def _scraped(metrics: Metrics) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_metrics_say_what_the_events_said(events: list[Event], metrics: Metrics) -> None:
    for event in events:
        metrics.write(event)
    metrics.show_output("save", is_up=False)
    said = _scraped(metrics)
    assert said["capgan_frames_total"] == 12
    assert said["capgan_errors_total"] == 1
    assert said["capgan_deadline_misses_total"] == said["capgan_dropped_total"] == 0
    assert said["capgan_frame_age_seconds_count"] == 12
    assert said['capgan_latency_seconds_count{stage="inference"}'] == 11
    assert said["capgan_suspicion_count"] == 11
    assert said['capgan_source_state{capgan_source_state="ended"}'] == 1
    assert said['capgan_source_state{capgan_source_state="live"}'] == 0
    assert said['capgan_purifier_state{capgan_purifier_state="active"}'] == 1
    assert said['capgan_output_up{output="save"}'] == 0
    ages = sum((event.age_ms or 0) / 1000 for event in events if event.kind == "frame")
    assert said["capgan_frame_age_seconds_sum"] == pytest.approx(ages)


def test_held_frames_and_regions_outside_are_metrics(metrics: Metrics) -> None:
    for held, outside in ((1, 2), (1, 4), (3, 4)):
        counts = Counts(frames=held, held=held, deadline_misses=held + 1, regions_outside=outside)
        metrics.write(replace(made_event(), purifier_state="held", counts=counts))
    said = _scraped(metrics)
    assert said["capgan_held_total"] == 3
    assert said["capgan_deadline_misses_total"] == 4
    assert said["capgan_regions_outside_total"] == 4
    assert said["capgan_suspicion_count"] == 0, "what is held was counted when it was found"


def test_two_loops_have_metrics_of_their_own_and_a_port_is_taken_once(metrics: Metrics) -> None:
    metrics.write(made_event(is_alarm=True))
    other = Metrics(0)
    try:
        assert _scraped(other)["capgan_alarms_total"] == 0
        assert _scraped(metrics)["capgan_alarms_total"] == 1
        with pytest.raises(ConfigError, match="expected a free port"):
            Metrics(metrics.port)
    finally:
        other.close()


def test_the_view_shows_verdicts_states_and_outputs_that_failed() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    failed = Output("--save", JsonLines("/dev/full"), state="failed", reason="disk full")
    view = TerminalView(console, [failed])
    view.write(made_event(is_alarm=True))
    view.close()
    failed.close()
    said = screen.getvalue()
    for part in ("stöp", "0.93", "source live", "purifier active", "--save failed: disk full"):
        assert part in said


def test_a_window_is_refused_where_opencv_is_headless() -> None:
    import threading

    if has_gui(cv2.getBuildInformation()):
        pytest.skip("needs an OpenCV without windows, such as opencv-python-headless")
    with pytest.raises(ConfigError, match="headless"):
        Window(Annotator(), threading.Event())


def test_a_build_with_windows_is_known_by_its_description() -> None:
    assert has_gui("  Foo: 1\n  GUI:                           QT5\n    QT: YES")
    assert not has_gui("  GUI:                           NONE\n")
    assert not has_gui("")
