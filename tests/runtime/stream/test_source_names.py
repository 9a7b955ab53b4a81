"""What the name of a source means, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.stream.source import SourceKind, parse_source


class Case(NamedTuple):
    source: int | str
    kind: SourceKind
    is_finite: bool


CASES = [
    Case(0, "camera", False),
    Case("2", "camera", False),
    Case("/dev/null", "camera", False),
    Case("rtsp://host:554/stream", "url", False),
    Case("http://10.0.0.2/video.mjpg", "url", False),
    Case("nvarguscamerasrc ! video/x-raw(memory:NVMM) ! appsink", "pipeline", False),
    Case("demo", "demo", True),
    Case("demo:alternate", "demo", True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.source))
def test_a_source_is_known_by_its_name(case: Case) -> None:
    spec = parse_source(case.source)
    assert (spec.kind, spec.is_finite) == (case.kind, case.is_finite)


def test_files_and_folders_are_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"")
    assert parse_source(tmp_path).kind == "folder"
    assert parse_source(tmp_path / "0").kind == "file"


@pytest.mark.parametrize("source", ["", "nothing.mp4", "-1", "demo:storm", "ftp://host/file", "rtsp://", "http://:80/x",
                                    "rtsp://host:port/x", "/dev/video77"])  # fmt: skip
def test_a_source_that_is_none_is_one_line(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(source)
    assert "\n" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    spec = parse_source("rtsp://user:secret@camera.local/stream")
    assert spec.shown == "rtsp://***@camera.local/stream"
    assert "secret" in spec.target
    with pytest.raises(ConfigError) as caught:
        parse_source("gopher://user:secret@camera.local/stream")
    assert "secret" not in str(caught.value)
