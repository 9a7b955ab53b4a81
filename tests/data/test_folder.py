"""Folders of images by class: order, labels, layout, and every way in which it can be wrong."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capgan_edge.data import load
from capgan_edge.errors import DataError

Pack = Callable[..., Path]
Make = Callable[..., Path]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_images_come_sorted_by_class_then_by_file_name(make_folder: Make) -> None:
    root = make_folder(classes=("b", "a"), num=3)
    images = load(root, "train")
    files = [root / "train" / label / f"{index:03}.png" for label in "ab" for index in range(3)]
    assert images.name == "set/train"
    assert images.class_names == ("a", "b")
    assert images.labels_N.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(images.images_NHWC, np.stack([np.asarray(Image.open(file)) for file in files]))


def test_whole_numbers_as_class_names_are_sorted_as_numbers(make_folder: Make) -> None:
    root = make_folder(classes=("10", "9", "0"), num=1)
    assert load(root, "test").class_names == ("0", "9", "10")


def test_one_folder_around_the_splits_is_looked_into(make_folder: Make) -> None:
    make_folder("outer/inner")
    (outer,) = {file for file in make_folder("other").parent.iterdir() if file.name == "outer"}
    assert len(load(outer, "train")) == 4


def test_mac_and_hidden_clutter_is_not_a_class(
    make_folder: Make, zip_of: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder()
    for name in (
        ".DS_Store",
        "train/.DS_Store",
        "train/cat/.000.png",
        "train/cat/Thumbs.db",
        "__MACOSX/train/cat/x.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"clutter")
    for source in (root, zip_of(root)):
        assert len(load(source, "train")) == 4
    assert not caplog.records


def test_what_is_no_image_file_is_left_out_and_counted_in_the_log(
    make_folder: Make, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder()
    (root / "train/cat/notes.txt").write_text("x")
    (root / "train/cat/scan.tiff").write_text("x")
    (root / "train/readme").write_text("x")
    (root / "train/dog/deeper").mkdir()
    assert len(load(root, "train")) == 4
    (message,) = [record.getMessage() for record in caplog.records]
    assert "1 .tiff, 1 .txt, 1 at the wrong depth, 1 folders inside a class" in message


def test_a_class_without_a_readable_image_is_an_error(make_folder: Make) -> None:
    root = make_folder(num=1)
    (root / "test/dog/000.png").write_bytes(b"")
    with pytest.raises(DataError, match="but dog holds no image that can be read"):
        load(root, "test", max_corrupt_percent=100)


def test_an_empty_class_is_an_error(make_folder: Make, zip_of: Pack) -> None:
    root = make_folder()
    (root / "train/emu").mkdir()
    shutil.copytree(root / "test/dog", root / "test/emu")
    for source in (root, zip_of(root)):
        with pytest.raises(DataError, match="each class of train/, but emu holds no image; add images"):
            load(source, "train")


def test_classes_that_differ_between_the_splits_are_named(make_folder: Make, zip_of: Pack) -> None:
    root = make_folder()
    (root / "train/cat").rename(root / "train/lion")
    for source in (root, zip_of(root)):
        with pytest.raises(DataError, match="mismatch: train/ lacks cat and test/ lacks lion"):
            load(source, "test")


def test_mixed_sizes_name_two_files_and_their_sizes(make_folder: Make) -> None:
    root = make_folder()
    (root / "train/dog/001.png").write_bytes(_png(np.zeros((6, 5, 3), np.uint8)))
    with pytest.raises(DataError, match=r"cat/000\.png of 4x4 and train/dog/001\.png of 5x6 .*resize"):
        load(root, "train")


def test_a_missing_split_is_an_error_where_it_is_asked_for(make_folder: Make) -> None:
    root = make_folder(splits=("train",))
    assert len(load(root, "train")) == 4
    with pytest.raises(DataError, match="expected a folder test/, got train/ only"):
        load(root, "test")


def test_an_empty_folder_and_an_empty_split_are_errors(tmp_path: Path, zip_of: Pack) -> None:
    (tmp_path / "none").mkdir()
    for source in (tmp_path / "none", zip_of(tmp_path / "none")):
        with pytest.raises(DataError, match=r"the folders train/ and test/ in it, got no folder at all"):
            load(source, "train")
    (tmp_path / "none/train").mkdir()
    with pytest.raises(DataError, match="a folder for each class in train/, got none"):
        load(tmp_path / "none", "train")


def test_a_pipe_among_the_images_is_refused_and_not_waited_on(make_folder: Make) -> None:
    root = make_folder()
    os.mkfifo(root / "train/cat/pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png: expected a file"):
        load(root, "train")
