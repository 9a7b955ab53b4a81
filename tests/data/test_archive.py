"""CIFAR-10's python archive, written here in its official form, and what must not be run from it."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capgan_edge.data import load
from capgan_edge.errors import DataError

NAMES = [b"airplane", b"automobile", b"bird"]
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]


def _values(seed: int, num: int = 4) -> dict[bytes, Any]:
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": b"batch",
        b"labels": [int(label) for label in rng.integers(0, len(NAMES), num)],
        b"data": rng.integers(0, 256, (num, 3072), dtype=np.uint8),
        b"filenames": [b"x.png"] * num,
    }


def _contents() -> dict[str, bytes]:
    contents = {name: pickle.dumps(_values(seed), protocol=2) for seed, name in enumerate(BATCHES)}
    contents["batches.meta"] = pickle.dumps({b"label_names": NAMES, b"num_vis": 3072}, protocol=2)
    return contents


def _write_folder(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def _write_tar(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("write", [_write_folder, _write_tar])
def test_images_and_labels_are_the_archives(tmp_path: Path, write: Any) -> None:
    source = write(tmp_path, _contents())
    for split, seeds in (("train", range(5)), ("test", [5])):
        images = load(source, split)
        rows = np.concatenate([_values(seed)[b"data"] for seed in seeds])
        assert images.name == f"{source.name.removesuffix('.tar.gz')}/{split}"
        assert images.class_names == ("airplane", "automobile", "bird")
        assert images.labels_N.tolist() == [label for seed in seeds for label in _values(seed)[b"labels"]]
        assert images.images_NHWC.shape == (len(rows), 32, 32, 3)
        assert np.array_equal(images.images_NHWC[:, 3, 7, 2], rows[:, 2 * 1024 + 3 * 32 + 7]), "rows are CHW"


def test_an_archive_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_tar(tmp_path, _contents())
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(tmp_path))
    assert len(load("cifar-10-python", "test")) == 4


def test_a_changed_batch_is_seen_behind_the_cache(tmp_path: Path) -> None:
    folder = _write_folder(tmp_path, _contents())
    assert len(load(folder, "test")) == 4
    (folder / "test_batch").write_bytes(pickle.dumps(_values(9, num=6), protocol=2))
    assert len(load(folder, "test")) == 6


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("name", ["batches.meta", "test_batch"])
@pytest.mark.parametrize("write", [_write_folder, _write_tar])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, write: Any, name: str) -> None:
    target = tmp_path / "owned"
    contents = _contents() | {name: pickle.dumps({b"labels": _Malicious(target)}, protocol=2)}
    with pytest.raises(
        DataError, match=rf"{name} to hold plain values, got the global (posix|nt)\.system.*nothing was run"
    ):
        load(write(tmp_path, contents), "test")
    assert not target.exists()


@pytest.mark.parametrize("name", ["batches.meta", "data_batch_3"])
@pytest.mark.parametrize("write", [_write_folder, _write_tar])
def test_a_missing_batch_is_named(tmp_path: Path, write: Any, name: str) -> None:
    contents = _contents()
    del contents[name]
    with pytest.raises(DataError, match=rf"got no {name}; fetch"):
        load(write(tmp_path, contents), "train")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_a_truncated_tar_is_an_error(tmp_path: Path, share: float) -> None:
    path = _write_tar(tmp_path, _contents())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="fetch CIFAR-10's python version again"):
        load(path, "train")


def test_a_truncated_batch_is_an_error(tmp_path: Path) -> None:
    contents = _contents()
    contents["test_batch"] = contents["test_batch"][:-900]
    with pytest.raises(DataError, match="test_batch to hold plain values, got broken bytes"):
        load(_write_folder(tmp_path, contents), "test")


WRONG: dict[str, tuple[Any, str]] = {
    "no dict": ([1], "to hold a dict, got list"),
    "no data": ({b"labels": [0]}, r"uint8 \[N, 3072\], got NoneType"),
    "rows of another length": ({b"data": np.zeros((1, 12), np.uint8), b"labels": [0]}, r"got shape \(1, 12\)"),
    "floats": ({b"data": np.zeros((1, 3072), np.float32), b"labels": [0]}, "a call of numpy.dtype"),
    "Fortran order": (
        {b"data": np.asfortranarray(np.zeros((2, 3072), np.uint8)), b"labels": [0, 0]},
        "an array that is not uint8 in C order",
    ),
    "too few labels": ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "expected 2 whole numbers .* got 1"),
    "a label out of range": ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [3]}, r"in \[0, 3\) .* got 3"),
    "labels of CIFAR-100": ({b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [3]}, "got NoneType"),
    "no image": ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "expected images in test_batch, got none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_batch_with_other_values_is_an_error(tmp_path: Path, case: str) -> None:
    value, message = WRONG[case]
    contents = _contents() | {"test_batch": pickle.dumps(value, protocol=2)}
    with pytest.raises(DataError, match=message):
        load(_write_folder(tmp_path, contents), "test")


def test_meta_without_names_is_an_error(tmp_path: Path) -> None:
    contents = _contents() | {"batches.meta": pickle.dumps({b"label_names": [1, 2]}, protocol=2)}
    with pytest.raises(DataError, match="list of names under label_names"):
        load(_write_folder(tmp_path, contents), "test")
