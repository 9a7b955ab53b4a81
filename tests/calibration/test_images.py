"""Images to calibrate on: drawn, in folders by class, or loose; of the graph's size, in an order by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_graph import LABELS

from capgan_calibration.images import ImageRequest, Images, load_images
from capgan_edge.data.signs import SIGN_CLASSES
from capgan_edge.errors import DataError


def write_loose(folder: Path, n: int, size_px: tuple[int, int] = (16, 16)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(n):
        Image.fromarray(rng.integers(0, 256, (*size_px, 3), dtype=np.uint8)).save(folder / f"{index:03}.png")
    return folder


def load(source: str | Path, **settings: Any) -> tuple[Images, Images, list[str]]:
    said: list[str] = []
    wanted: dict[str, Any] = {"size_px": (16, 16), "labels": LABELS, "num_train": 6, "num_check": 4, **settings}
    train, check = load_images(ImageRequest(source=source, **wanted), said.append)
    return train, check, said


def keys(images: Images) -> list[bytes]:
    return [frame.tobytes() for frame in images.frames_NHWC]


def test_drawn_signs_come_with_labels_where_the_classes_are_the_classifiers() -> None:
    train, check, said = load("signs", labels=SIGN_CLASSES)
    assert (train.name, check.name) == ("signs-16/train", "signs-16/test")
    assert (len(train), len(check), said) == (6, 4, [])
    assert train.labels_N is not None
    assert len(set(train.labels_N.tolist())) > 1
    train, _, said = load("signs:16")
    assert train.labels_N is None
    assert "other classes" in said[0]


def test_a_folder_by_class_gives_its_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in LABELS:
            write_loose(tmp_path / "data" / split / name, 2)
    train, check, said = load(tmp_path / "data", labels=tuple(sorted(LABELS)))
    assert (train.name, check.name) == ("data/train", "data/test")
    assert train.labels_N is not None
    assert said == []


def test_loose_images_are_split_without_overlap_and_have_no_labels(tmp_path: Path) -> None:
    train, check, said = load(write_loose(tmp_path / "camera", 10))
    assert (len(train), len(check)) == (6, 4)
    assert not set(keys(train)) & set(keys(check))
    assert train.labels_N is None
    assert said == []
    assert train.name == "camera"


def test_too_few_loose_images_are_checked_with_again_and_said(tmp_path: Path) -> None:
    train, check, said = load(write_loose(tmp_path / "camera", 5))
    assert (len(train), len(check)) == (5, 4)
    assert "reuse those of the calibration" in said[0]


def test_the_seed_alone_decides_which_images_and_their_order(tmp_path: Path) -> None:
    folder = write_loose(tmp_path / "camera", 12)
    first, again, other = (keys(load(folder, seed=seed)[0]) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_images_of_another_size_are_refused_or_resized_on_request(tmp_path: Path) -> None:
    folder = write_loose(tmp_path / "camera", 7, size_px=(20, 24))
    with pytest.raises(DataError, match=r"expected images of 16x16 px .* got 20x24; .*--resize"):
        load(folder)
    train, _, _ = load(folder, is_resized=True)
    assert train.frames_NHWC.shape == (6, 16, 16, 3)
    with pytest.raises(DataError, match="got 32x32"):
        load("signs:32")


def test_a_corrupt_and_a_missing_image_are_named(tmp_path: Path) -> None:
    folder = write_loose(tmp_path / "camera", 3)
    (folder / "000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000\.png"):
        load(folder)
    with pytest.raises(DataError, match="expected images"):
        load(write_loose(tmp_path / "empty", 0))
    with pytest.raises(DataError, match="expected the data set"):
        load(tmp_path / "nowhere")
