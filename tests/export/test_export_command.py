"""`capgan-edge export` and `verify` end to end, on a run folder as training writes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from tiny_pair import LABELS, SIZE_PX, make_purifier, make_victim

from capgan_edge.cli import main
from capgan_edge.training.checkpoint import Checkpoint, module_tensors, save_checkpoint

PARTS = [EntryPoint(name="export", value="capgan_export.command:app", group="capgan_edge.commands")]


def write_run(path: Path, **changes: Any) -> None:
    purifier, victim = make_purifier(), make_victim()
    state = {
        "purifier": asdict(purifier.config),
        "victim": {"kind": "simple-resnet", "units_per_stage": 1, "num_classes": len(LABELS)},
        "class_names": list(LABELS),
        "size_px": list(SIZE_PX),
        "data": "signs-16/train",
    } | changes
    tensors = module_tensors("t_ac", purifier) | module_tensors("victim", victim.torch_module())
    save_checkpoint(path, Checkpoint(kind="purifier", epoch=3, tensors=tensors, state=state), is_best=True)
    (path / "finished.json").write_text('{"kind": "purifier", "epochs": 3}')


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with one finished run and the bundle that the short form of `export` made of it."""
    here = tmp_path_factory.mktemp("workshop")
    write_run(here / "runs" / "night")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
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
    for file in (here / "bundle").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() + (b" " if file.suffix == ".onnx" else b""))
    assert main(["verify", str(tmp_path)], PARTS) == 1
    assert "failed  hashes" in capsys.readouterr().out
    assert main(["verify", "nowhere"], PARTS) == 2
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
    write_run(tmp_path / "runs" / "night", class_names=list(LABELS[:4]))
    assert main(["export"], PARTS) == 1
    error = capsys.readouterr().err
    assert "expected 5 labels, one a class, got 4" in error
    assert error.count("\n") == 1
