"""The cache of decoded images: hit, invalidated, broken, unwritable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capgan_edge.data import load

Make = Callable[..., Path]


def _entries(folder: Path, name: str) -> list[Path]:
    return sorted(folder.rglob(name))


def test_the_second_load_gives_the_same_without_decoding(make_folder: Make, zip_of: Make, cache_folder: Path) -> None:
    for source in (make_folder(), zip_of(make_folder("packed"))):
        first = load(source, "train")
        written = {path: path.stat().st_mtime_ns for path in cache_folder.rglob("*.*")}
        second = load(source, "train")
        assert written, "there is a cache"
        assert {path: path.stat().st_mtime_ns for path in cache_folder.rglob("*.*")} == written
        assert second.class_names == first.class_names
        assert np.array_equal(second.images_NHWC, first.images_NHWC)
        assert np.array_equal(second.labels_N, first.labels_N)


def test_a_hit_reads_no_image_file(make_folder: Make) -> None:
    root = make_folder()
    file = root / "train/cat/000.png"
    first = load(root, "train")
    stat = file.stat()
    file.write_bytes(bytes(stat.st_size))  # the same size and time: only decoding would notice
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert np.array_equal(load(root, "train").images_NHWC, first.images_NHWC)


def test_a_changed_file_is_seen_and_replaces_the_entry(make_folder: Make, cache_folder: Path) -> None:
    root = make_folder()
    first = load(root, "train")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / "train/cat/000.png")
    second = load(root, "train")
    assert first.images_NHWC[0].any()
    assert not second.images_NHWC[0].any()
    assert len(_entries(cache_folder, "images.npy")) == 1


def test_an_added_file_is_seen(make_folder: Make) -> None:
    root = make_folder(num=1)
    assert len(load(root, "test")) == 2
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / "test/cat/002.png")
    assert len(load(root, "test")) == 3


def test_a_changed_zip_is_seen(make_folder: Make, zip_of: Make) -> None:
    root = make_folder()
    assert len(load(zip_of(root), "train")) == 4
    (root / "train/cat/000.png").unlink()
    assert len(load(zip_of(root), "train")) == 3


def test_without_a_cache_nothing_is_written(make_folder: Make, cache_folder: Path) -> None:
    load(make_folder(), "train", cache=False)
    assert not cache_folder.exists()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip], ids=["truncated", "one bit"])
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "entry.json"])
def test_a_broken_entry_is_dropped_and_made_again(
    make_folder: Make, cache_folder: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    root = make_folder()
    first = load(root, "train")
    (path,) = _entries(cache_folder, name)
    whole = path.read_bytes()
    damage(path)
    if name == "entry.json" and damage is _flip:
        path.write_text("[]")
    assert np.array_equal(load(root, "train").images_NHWC, first.images_NHWC)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "dropped a broken cache entry" in message
    assert path.read_bytes() == whole


def test_a_pickle_in_the_cache_is_not_loaded(make_folder: Make, cache_folder: Path) -> None:
    root = make_folder()
    first = load(root, "train")
    (path,) = _entries(cache_folder, "labels.npy")
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert np.array_equal(load(root, "train").labels_N, first.labels_N)


def test_a_cache_that_cannot_be_written_is_said_once_and_done_without(
    make_folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "a file"))
    assert len(load(make_folder(), "train")) == 4
    (message,) = [record.getMessage() for record in caplog.records]
    assert "going on without a cache" in message
    assert "CAPGAN_EDGE_CACHE" in message
