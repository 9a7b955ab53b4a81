"""Video files with frames that cannot be decoded: counted, told, and gone past."""

from __future__ import annotations

from pathlib import Path

from footage import colours_of, write_mjpeg
from watching import frames_of

import capgan_edge
from capgan_edge.runtime.classifier import Classifier


def test_a_corrupt_stretch_of_a_file_is_counted_and_what_comes_after_it_is_seen(
    classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "corrupt.avi"
    write_mjpeg(path, colours_of("r" * 10 + "g" * 12 + "b" * 10), is_corrupt=lambda number: 10 <= number < 22)
    events = list(capgan_edge.stream(classifier, path, every_frame=True, vote=1))
    labels = [event.verdicts[0].label for event in frames_of(events)]
    assert labels == ["stop"] * 10 + ["go"] * 10
    assert events[-1].counts.unreadable == 12
    assert (events[-1].source_state, events[-1].reason) == ("ended", "20 of 32 frames could be read")


def test_a_file_whose_end_is_corrupt_does_not_end_as_if_it_were_whole(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "corrupt.avi"
    write_mjpeg(path, colours_of("r" * 30), is_corrupt=lambda number: number >= 20)
    events = list(capgan_edge.stream(classifier, path, every_frame=True))
    assert (events[-1].counts.frames, events[-1].counts.unreadable) == (20, 10)
    assert events[-1].reason == "20 of 30 frames could be read"


def test_a_file_that_is_whole_misses_nothing(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "whole.avi"
    write_mjpeg(path, colours_of("r" * 30), is_corrupt=lambda number: False)
    events = list(capgan_edge.stream(classifier, path, every_frame=True))
    assert (events[-1].counts.frames, events[-1].counts.unreadable) == (30, 0)
    assert events[-1].reason == "its 30 frames are over"
