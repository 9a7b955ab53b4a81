"""`capgan-edge export` and `verify` end to end, on a run folder as training writes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from tiny_pair import LABELS, SIZE_PX, make_purifier, make_victim

from capgan_edge.cli import main
from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.training.checkpoint import Checkpoint, module_tensors, save_checkpoint
from capgan_export.source import find_source, load_frames

PARTS = [EntryPoint(name="export", value="capgan_export.command:app", group="capgan_edge.commands")]
CLASSES = tuple(sorted(LABELS))
"""As a folder of images names them."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "cache"))


def write_images(root: Path, classes: tuple[str, ...] = CLASSES, size_px: tuple[int, int] = SIZE_PX) -> Path:
    """Write one image of each class to train on, and nine to test on."""
    rng = np.random.default_rng(0)
    for split, num in (("train", 1), ("test", 9)):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(num):
                Image.fromarray(rng.integers(0, 256, (*size_px, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return root


def write_run(path: Path, **changes: Any) -> None:
    """Write a purifier's run as training leaves it: on a user's folder that is called like the drawn signs."""
    purifier, victim = make_purifier(), make_victim()
    state = {
        "purifier": asdict(purifier.config),
        "victim": {"kind": "simple-resnet", "units_per_stage": 1, "num_classes": len(LABELS)},
        "class_names": list(CLASSES),
        "size_px": list(SIZE_PX),
        "data": "signs/train",
        "source": str(path.parents[1] / "signs"),
    } | changes
    tensors = module_tensors("t_ac", purifier) | module_tensors("victim", victim.torch_module())
    save_checkpoint(path, Checkpoint(kind="purifier", epoch=3, tensors=tensors, state=state), is_best=True)
    (path / "finished.json").write_text('{"kind": "purifier", "epochs": 3}')


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with one finished run and the bundle that the short form of `export` made of it."""
    here = tmp_path_factory.mktemp("workshop")
    write_images(here / "signs")
    write_run(here / "runs" / "night")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("CAPGAN_EDGE_CACHE", str(here / "cache"))
        assert main(["export", "--with-purified"], PARTS) == 0
    return here


@pytest.fixture
def here(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workshop)
    return workshop


def test_export_takes_the_newest_finished_run_and_verify_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((here / "bundle" / "manifest.json").read_text())
    assert manifest["purifier"]["name"] == "night"
    assert [output["name"] for output in manifest["outputs"]] == ["logits", "suspicion", "purified"]
    assert str(here) not in json.dumps(manifest)
    assert {record["settings"]["data"] for record in manifest["parity"]} == {"signs/test"}, "the folder, not drawn ones"
    assert main(["verify", "--against", "runs/night", "--json"], PARTS) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert {check["verdict"] for check in report["checks"]} == {"passed"}


def test_export_does_not_replace_a_bundle_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "bundle" / "manifest.json").read_bytes()
    assert main(["export"], PARTS) == 1
    assert "pass --force" in capsys.readouterr().err
    assert (here / "bundle" / "manifest.json").read_bytes() == before


def test_verify_has_exit_code_1_for_a_regression_and_2_where_it_cannot_run(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spoilt").mkdir()
    for file in (here / "bundle").iterdir():
        (tmp_path / "spoilt" / file.name).write_bytes(file.read_bytes() + (b" " if file.suffix == ".onnx" else b""))
    for data in ([], ["--data", "signs:16"], ["--against", "runs/night"]):
        assert main(["verify", str(tmp_path / "spoilt"), *data], PARTS) == 1
        assert "failed  hashes" in capsys.readouterr().out
        assert main(["verify", "nowhere", *data], PARTS) == 2
        assert "expected a bundle" in capsys.readouterr().err


def test_what_is_no_source_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "no-such-thing", "-o", "other"], PARTS) == 1
    assert "expected a run's folder" in capsys.readouterr().err
    assert not (here / "other").exists()


def test_a_run_before_a_brought_victim_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "night", victim={"kind": "onnx", "name": "theirs.onnx", "sha256": "0" * 64})
    assert main(["export"], PARTS) == 1
    assert "expected --victim, since the run was trained before 'theirs.onnx'" in capsys.readouterr().err


def test_labels_that_do_not_match_the_victim_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "night", class_names=list(CLASSES[:4]))
    assert main(["export"], PARTS) == 1
    error = capsys.readouterr().err
    assert "expected 5 labels, one a class, got 4" in error
    assert error.count("\n") == 1


class Place(NamedTuple):
    name: str
    out: str
    says: str


PLACES = [
    Place("a file", "file", "got a file"),
    Place("under a file", "file/deep/bundle", "expected a folder at"),
    Place("someone's folder", "home", "a directory without a bundle's manifest.json"),
]


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_place_where_no_bundle_can_be_written_is_refused_before_the_work(
    place: Place, force: list[str], here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").touch()
    assert main(["export", "-o", str(tmp_path / place.out), *force], PARTS) == 1
    error = capsys.readouterr().err
    assert place.says in error
    assert error.count("\n") == 1, "not even the purifier was looked for"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("tolerance", ["inf", "nan", "-1"])
def test_a_tolerance_that_tolerates_anything_is_refused(
    tolerance: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "-o", "other", f"--tolerance={tolerance}"], PARTS) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")
    assert not (here / "other").exists()


class Moved(NamedTuple):
    name: str
    changes: dict[str, Any]
    says: str


MOVED = [
    Moved("drawn signs for a run on others", {"source": "signs:16"}, "expected the data of the training, with 5 class"),
    Moved(
        "an old run on a folder that is called signs-16", {"source": None, "data": "signs-16/train"}, "got signs-16/"
    ),
    Moved(
        "an old run on a folder that is called signs", {"source": None, "data": "signs/train"}, "the data set 'signs'"
    ),
    Moved("gone", {"source": "/nowhere/photos.zip"}, "expected the data set '/nowhere/photos.zip'"),
    Moved("other classes", {"source": "others"}, "got others/test with 2 classes (cat, dog)"),
    Moved("another size", {"source": "large"}, "expected frames of 16x16 px for the checks, got large/test of 20x20"),
]


@pytest.mark.parametrize("case", MOVED, ids=lambda case: case.name)
def test_a_run_is_never_checked_on_other_images_than_its_own_unasked(
    case: Moved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "others", ("cat", "dog"))
    write_images(tmp_path / "large", size_px=(20, 20))
    write_run(tmp_path / "runs" / "night", **case.changes)
    assert main(["export"], PARTS) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith("exporting night")
    assert case.says in error[1]
    assert "--data" in error[1]
    assert len(error) == 2
    assert not (tmp_path / "bundle").exists()


def test_a_run_from_before_its_source_was_recorded_finds_a_folder_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "night", source=None)
    write_images(tmp_path / "signs")
    source = find_source(None)
    assert source.data == Path("signs"), "drawn signs have their size in their name"
    frames = load_frames(source.data, source.size_px, num_frames=40, labels=source.labels)
    assert (frames.name, len(frames)) == ("signs/test", 45)


def test_images_that_the_user_names_may_be_of_other_classes() -> None:
    assert load_frames("signs", (16, 16), num_frames=40).name == "signs-16/test"
    with pytest.raises(ConfigError, match="expected frames of 16x16 px"):
        load_frames("signs:32", (16, 16), num_frames=40)


def test_a_source_that_is_no_text_is_a_foreign_state(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "night", source=["signs"])
    with pytest.raises(CheckpointError, match="expected the state of a run, with class_names"):
        find_source(str(tmp_path / "runs" / "night"))


def test_a_packaged_pair_is_found_beside_a_bundle_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "signs-nano", "-o", "signs-nano"], parts=PARTS) == 0
    assert find_source("signs-nano").name == "signs-nano"
    (tmp_path / "cifar10-nano").mkdir()
    with pytest.raises(CheckpointError, match=r"cifar10-nano/last\.json"):
        find_source("cifar10-nano")
