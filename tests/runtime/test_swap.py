"""One directory for another: exchanged where that can be done, in two renames where not, and back where one fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from capgan_edge.runtime import swap
from capgan_edge.runtime.swap import swap_in


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A new directory, and the old one that it is for."""
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "new", tmp_path / "old"


def cannot_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_EXCHANGE", 1 << 30)  # a flag that no kernel knows: what an older file system answers


def test_the_two_change_places(pair: tuple[Path, Path]) -> None:
    fresh, target = pair
    inodes = fresh.stat().st_ino, target.stat().st_ino
    swap_in(fresh, target)
    assert (target.stat().st_ino, fresh.stat().st_ino) == inodes


def test_where_nothing_can_be_exchanged_it_takes_two_renames(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_exchange(monkeypatch)
    swap_in(*pair)
    assert (pair[1] / "file").read_text() == "new"
    assert not pair[0].exists()


def test_a_failing_second_rename_brings_the_old_one_back(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_exchange(monkeypatch)
    rename = Path.rename

    def fail_for_the_new_one(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="Input/output error"):
        swap_in(*pair)
    assert (pair[1] / "file").read_text() == "old"
    assert (pair[0] / "file").read_text() == "new"


def test_what_is_not_there_or_empty_is_simply_replaced(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    swap_in(pair[0], tmp_path / "empty")
    swap_in(pair[1], tmp_path / "nothing")
    assert [(tmp_path / name / "file").read_text() for name in ("empty", "nothing")] == ["new", "old"]
