"""A real classifier on the tiny bundle, and real recordings for it to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cameras import around, failing
from footage import colours_of, write_video

import capgan_edge
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.event import Event


@pytest.fixture(scope="session")
def classifier(shared_bundle: Bundle) -> Iterator[Classifier]:
    """The class is the strongest channel (red stop, green yield, blue go), unpurified the weakest."""
    with capgan_edge.load(shared_bundle.path, backend="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of 64 x 48: four red, four green, four blue, no two alike."""
    path = tmp_path_factory.mktemp("video") / "colours.mp4"
    write_video(path, colours_of("rrrrggggbbbb"))
    return path


@pytest.fixture
def events(classifier: Classifier, video: Path) -> list[Event]:
    """All of the recording, with one frame that failed."""
    broken, _ = around(classifier, failing(lambda number: number == 3))
    return list(capgan_edge.stream(broken, video, every_frame=True))
