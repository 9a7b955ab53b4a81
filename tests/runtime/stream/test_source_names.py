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
    Case("/dev/video97", "camera", False),  # it may be plugged in later
    Case("/dev/v4l/by-id/usb-none-video-index0", "camera", False),
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
                                    "rtsp://host:port/x", "/dev/something"])  # fmt: skip
def test_a_source_that_is_none_is_one_line(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:secret@camera.local/stream", "rtsp://***@camera.local/stream"),
        ("rtsp://user:se@cret@camera.local/stream", "rtsp://***@camera.local/stream"),
        ("http://camera.local/video.mjpg?user=me&pwd=secret&fps=5", "http://camera.local/video.mjpg?user=me&***&fps=5"),
        ("rtspsrc location=rtsp://a:secret@host/x ! appsink", "rtspsrc location=rtsp://***@host/x ! appsink"),
        ("rtspsrc location=rtsp://host/x user-id=a user-pw=secret ! appsink",
         "rtspsrc location=rtsp://host/x user-id=a *** ! appsink"),
        ("rtsp://camera.local/stream", "rtsp://camera.local/stream"),
    ],
)  # fmt: skip
def test_a_password_is_never_shown(source: str, shown: str) -> None:
    spec = parse_source(source)
    assert spec.shown == shown
    assert spec.target == source


@pytest.mark.parametrize("source", ["gopher://user:se@cret@camera.local/stream", "rtsp://user:se@cret@camera:port/x",
                                    "rtsp://user:se@cret@/x", "rtsp://user:se@/cret@camera.local/x"])  # fmt: skip
def test_an_address_that_is_refused_keeps_its_password_to_itself(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(source)
    assert "se@" not in str(caught.value)
    assert "cret" not in str(caught.value)
