"""Names to data sets: signs, paths, names under CAPGAN_EDGE_DATA, and messages where there is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capgan_edge.data import find_source, load
from capgan_edge.errors import ConfigError, DataError

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_data_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_data" not in request.fixturenames:
        monkeypatch.delenv("CAPGAN_EDGE_DATA", raising=False)


def test_a_name_is_looked_up_in_the_data_folder(
    make_folder: Make, zip_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zip_of(make_folder("packed"))
    (tmp_path / "packed").rename(tmp_path / "open")
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(tmp_path))
    assert find_source("packed") == tmp_path / "packed.zip"
    assert find_source("packed.zip") == tmp_path / "packed.zip"
    assert find_source("open") == tmp_path / "open"
    assert load("packed", "test").name == "packed/test"


def test_a_path_wins_over_a_name(make_folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = make_folder("here/set"), make_folder("there/set")
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(there.parent))
    monkeypatch.chdir(here.parent)
    assert find_source("set").resolve() == here.resolve()


def test_the_working_folder_has_a_name(make_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder()
    monkeypatch.chdir(root)
    assert load(".", "train").name == "set/train"
    monkeypatch.chdir(root / "train")
    assert load("..", "train").name == "set/train"


def test_an_unknown_name_says_where_was_looked_and_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gtsrb32.zip").write_bytes(b"")
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"has no cifar, cifar\.zip, cifar\.tar\.gz; it holds: gtsrb32\.zip; name a"):
        load("cifar", "train")


def test_an_unset_or_wrong_data_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="CAPGAN_EDGE_DATA is not set"):
        load("cifar", "train")
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"CAPGAN_EDGE_DATA names .*gone: No such file"):
        load("cifar", "train")


@pytest.mark.parametrize("name", ["", "../secret", "x" * 5000, "a\0b", "~nobody-of-this-name/x", "/nowhere/at/all"])
def test_a_strange_name_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "secret.zip").write_bytes(b"")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CAPGAN_EDGE_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match="expected the data set") as caught:
        load(name, "train")
    assert "\n" not in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"a \.tar\.gz of CIFAR-10's python version, got another kind of file"):
        load(tmp_path / "images.rar", "train")


def test_an_unknown_split_is_refused(make_folder: Make) -> None:
    with pytest.raises(ConfigError, match="train or test, got 'val'"):
        load(make_folder(), "val")  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["signs:", "signs:0", "signs:big", "signs:-4", "signs:32.5", "signs:²"])
def test_signs_of_no_size_are_refused(source: str) -> None:
    with pytest.raises(ConfigError, match=r"signs:"):
        load(source, "train")


def test_a_folder_called_signs_is_reached_as_a_path(make_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder("signs")
    monkeypatch.chdir(root.parent)
    assert load(Path("signs"), "train").class_names == ("cat", "dog")


def test_importing_the_data_package_loads_nothing_heavy() -> None:
    code = "import sys\nfor m in ('PIL','torch','cv2'): sys.modules[m]=None\nimport capgan_edge.data"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture
def real_data() -> Path:
    path = Path(os.environ.get("CAPGAN_EDGE_DATA", "")) / "cifar10-jpeg.zip"
    if not os.environ.get("CAPGAN_EDGE_DATA") or not path.is_file():
        pytest.skip("needs cifar10-jpeg.zip in the folder that CAPGAN_EDGE_DATA names")
    return path


def test_the_real_cifar10_jpeg_has_its_counts(real_data: Path) -> None:
    images = load("cifar10-jpeg", "test")
    assert images.images_NHWC.shape == (8_042, 32, 32, 3)
    assert len(images.class_names) == 10
    assert np.bincount(images.labels_N).tolist() == [811, 798, 821, 803, 785, 830, 793, 800, 809, 792]
    assert 100 < images.images_NHWC.mean() < 140
