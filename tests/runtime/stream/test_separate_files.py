"""An output that is the source, or another output, is refused before anything is opened, by whatever name it comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.stream.separate_files import refuse_shared_files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"a recording")
    return path


@pytest.mark.parametrize("kind", ["itself", "another spelling", "a symbolic link", "a hard link"])
@pytest.mark.parametrize("option", ["save", "jsonl"])
def test_an_output_that_is_the_source_is_refused(option: str, kind: str, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    if kind == "a symbolic link":
        other.symlink_to(source)
    elif kind == "a hard link":
        os.link(source, other)
    else:
        other = source if kind == "itself" else tmp_path / "." / "sub" / ".." / source.name
        (tmp_path / "sub").mkdir()
    outputs = {"save": other if option == "save" else None, "jsonl": str(other) if option == "jsonl" else None}
    with pytest.raises(ConfigError, match=rf"for --source and for --{option}; name another"):
        refuse_shared_files(str(source), **outputs)  # type: ignore[arg-type]  # one of each
    assert source.read_bytes() == b"a recording"


def test_two_outputs_in_one_file_are_refused_also_where_it_is_not_there_yet(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="for --save and for --jsonl"):
        refuse_shared_files(str(source), save=tmp_path / "out.avi", jsonl=str(tmp_path / "x" / ".." / "out.avi"))


def test_an_output_inside_the_folder_that_is_read_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected --save outside the folder of the source"):
        refuse_shared_files(str(source.parent), save=tmp_path / "out.mp4", jsonl=None)


def test_files_of_their_own_pass(source: Path, tmp_path: Path) -> None:
    refuse_shared_files(str(source), save=tmp_path / "out.mp4", jsonl="-")
    refuse_shared_files(str(source), save=None, jsonl=str(tmp_path / "lines"))
    refuse_shared_files("rtsp://host/x", save=tmp_path / "out.mp4", jsonl=str(tmp_path / "lines"))
    refuse_shared_files("0", save=None, jsonl="0")  # a camera's number is no file
