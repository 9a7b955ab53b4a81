"""`classify` and `inspect`, through the command line's own front door."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from PIL import Image

from capgan_edge.cli import GROUP, main
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import SuspicionThreshold
from capgan_edge.runtime.growth import grow_bundle, locked

RUNTIME = [EntryPoint("runtime", "capgan_edge.runtime.command:app", GROUP)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in (("a_red.png", (200, 0, 0)), ("b_blue.png", (0, 0, 200))):
        Image.new("RGB", (20, 30), colour).save(folder / name)
    return folder


def test_classify_prints_a_verdict_an_image(
    shared_bundle: Bundle, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["classify", str(shared_bundle.path), str(images), "--threads", "1"], RUNTIME) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if ".png" in line]
    assert ["stop" in rows[0], "go" in rows[1], len(rows)] == [True, True, 2]


def test_classify_speaks_json_to_machines(
    shared_bundle: Bundle, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(shared_bundle.path), str(images / "b_blue.png"), "--json"], RUNTIME) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["classifier"]["precision"] == "fp32"
    (verdict,) = said["verdicts"]
    assert (verdict["label"], verdict["index"], verdict["image"]) == ("go", 2, str(images / "b_blue.png"))
    assert verdict["raw_label"] in ("stop", "yield")


def test_classify_shows_alarms_only_where_the_artifact_has_a_threshold(
    bundle_path: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Image.new("RGB", (8, 8), (250, 250, 250)).save(images / "c_white.png")

    def classified() -> tuple[list[str], list[object]]:
        arguments = ["classify", str(bundle_path), str(images), "--backend", "cpu"]
        assert main(arguments, RUNTIME) == 0
        lines = capsys.readouterr().out.splitlines()
        assert main([*arguments, "--json"], RUNTIME) == 0
        return lines, [verdict["is_alarm"] for verdict in json.loads(capsys.readouterr().out)["verdicts"]]

    lines, alarms = classified()
    assert "alarm" not in lines[1].split()
    assert alarms == [None, None, None]
    name = "model.fp32.onnx"
    with locked(bundle_path) as bundle:
        digest = bundle.manifest.files[name].sha256
        threshold = SuspicionThreshold(artifact=name, artifact_sha256=digest, threshold=0.5, n=100, seed=0,
                                       false_alarm_rate=0.01, measured_rate=0.01, data="signs/test")  # fmt: skip
        grow_bundle(bundle, bundle.manifest.model_copy(update={"thresholds": (threshold,)}), {})
    lines, alarms = classified()
    rows = [line.split() for line in lines if ".png" in line]
    assert "alarm" in lines[1].split()
    assert [("yes" in row, "no" in row) for row in rows] == [(False, True), (False, True), (True, False)]
    assert alarms == [False, False, True]


def test_a_precision_that_there_is_none_of_is_named_before_anything_is_advised(
    shared_bundle: Bundle, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["classify", str(shared_bundle.path), str(images), "--backend", "tensorrt", "--precision", "bogus"]
    assert main(arguments, RUNTIME) == 1
    err = capsys.readouterr().err
    assert "precision is one of auto, fp32, fp16, int8, bf16, got 'bogus'" in err
    assert "build-engine" not in err


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.png", "got nothing"), ("corrupt.png", "expected an image at"), ("empty", "got none")],
)
def test_an_image_that_cannot_be_read_is_one_line_and_exit_1(
    name: str, message: str, shared_bundle: Bundle, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    (images / "empty").mkdir()
    assert main(["classify", str(shared_bundle.path), str(images / name)], RUNTIME) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_image_in_the_place_of_the_bundle_is_told(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(images / "a_red.png"), str(images / "b_blue.png")], RUNTIME) == 1
    assert "expected a bundle (a directory) at" in capsys.readouterr().err


def test_inspect_shows_files_parity_and_figures(
    shared_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    assert main(["inspect", str(shared_bundle.path)], RUNTIME) == 0
    out = capsys.readouterr().out
    digest = shared_bundle.manifest.files["model.fp32.onnx"].sha256[:16]
    for said in (digest, "stop, yield, go", "91.5 %", "89.6 to 93.1", "attacked", "256", "attack=pgd-20", "verified"):
        assert said in out


def test_inspect_speaks_json_and_defaults_to_the_bundle_here(
    bundle_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle_path.parent)
    assert main(["inspect", "--json"], RUNTIME) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verified"] is True
    assert said["precisions"] == ["fp32"]
    assert said["total_bytes"] == (bundle_path / "model.fp32.onnx").stat().st_size
    assert said["manifest"]["figures"][0]["seed"] == 7


def test_inspect_does_not_parse_the_graph(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from capgan_edge.runtime.bundle import write_bundle

    junk = b"hashed and whole, yet no ONNX model"
    write_bundle(bundle_path, Bundle.open(bundle_path).manifest, {"model.fp32.onnx": junk}, overwrite=True)
    assert main(["inspect", str(bundle_path)], RUNTIME) == 0


def test_a_changed_bundle_fails_both_commands_with_a_json_error_where_asked(
    bundle_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle_path / "model.fp32.onnx").write_bytes(b"evil")
    for arguments in (["inspect", str(bundle_path), "--json"], ["classify", str(bundle_path), str(images), "--json"]):
        assert main(arguments, RUNTIME) == 1
        out, err = capsys.readouterr()
        assert "bytes, got 4" in json.loads(out)["error"]
        assert err.startswith("error: ")
