"""`build-engine` and `inspect` through the command line's own front door, on the packaged signs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from rich.console import Console

from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_export.engine.door import Door
from capgan_export.engine.session import build_bar

PARTS = [
    EntryPoint("engine", "capgan_export.engine.engine_command:app", GROUP),
    EntryPoint("runtime", "capgan_edge.runtime.command:app", GROUP),
]
pytestmark = pytest.mark.usefixtures("door")  # each of them needs TensorRT


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a command that must succeed, and return its JSON."""
    capsys.readouterr()
    code = main([*arguments, "--json"], PARTS)
    out, err = capsys.readouterr()
    assert code == 0, err
    value: dict[str, Any] = json.loads(out)
    return value


def test_fp16_right_after_export_just_works(
    copy_of_fp32: Callable[[], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of_fp32()
    monkeypatch.chdir(path.parent)
    assert main(["build-engine", "--fp16", "--target", "sm_86", "--target", "sm_89"], PARTS) == 0
    out, err = capsys.readouterr()
    name = "engines/fp16-sm_86-sm_89-b8.plan"
    assert f"wrote bundle/{name}: " in out
    assert "batches of 1,1,8" in out
    assert "stay in FP32" in err, "what the FP16 pass kept in FP32 is said"
    bundle = Bundle.open(path)
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.manifest.engines[name].source_sha256 == bundle.manifest.files["model.fp16.onnx"].sha256
    assert said(capsys, "build-engine", "--fp16", "--target", "sm_86", "--target", "sm_89")["kept"]


def test_what_was_built_is_told_as_json_and_inspected(
    copy_of_full: Callable[[], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    path = copy_of_full()
    built = said(capsys, "build-engine", str(path), "--int8", "--target", "sm_89", "--batch", "4")
    assert (built["engine"], built["kept"]) == ("engines/int8-sm_89-b4.plan", False)
    assert built["sidecar"]["profile"] == {"min": 4, "opt": 4, "max": 4}
    engine = said(capsys, "inspect", str(path / built["engine"]))
    assert engine["sidecar"] == built["sidecar"]
    assert engine["header"]["targets"] == ["sm_89"]
    assert engine["verdict"]["ok"], engine["verdict"]
    assert engine["verdict"]["rebuild"].startswith(f"capgan-edge build-engine {path} --int8 --batch 4,4,4")
    assert said(capsys, "inspect", str(path))["manifest"]["engines"].keys() == {built["engine"]}
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["inspect", str(path)], PARTS) == 0
    out = capsys.readouterr().out
    for text in ("engines/int8-sm_89-b4.plan", f"tensorrt_rtx {door.version}", "model.int8.onnx", "cards: none"):
        assert text in out


def test_int8_on_rtx_promises_no_speed(copy_of_full: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build-engine", str(copy_of_full()), "--int8", "--target", "sm_86"], PARTS) == 0
    assert "FP16 may well be faster: measure both" in capsys.readouterr().err


@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_an_int8_engine_that_computes_the_rest_in_fp32_says_so(
    rest: str, copy_of_full: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of_full()
    with locked(path) as bundle:
        artifacts = dict(bundle.manifest.artifacts)
        artifacts["model.int8.onnx"] = artifacts["model.int8.onnx"].model_copy(update={"settings": {"rest": rest}})
        grow_bundle(bundle, bundle.manifest.model_copy(update={"artifacts": artifacts}), {})
    assert main(["build-engine", str(path), "--int8", "--target", "sm_86"], PARTS) == 0
    remedy = f"capgan-edge calibrate {path} --rest fp16 --force"
    assert (remedy in capsys.readouterr().err) is (rest == "fp32")


class Bad(NamedTuple):
    name: str
    options: list[str]
    message: str


BAD = [
    Bad("no precision", [], "expected one of --fp32, --fp16 and --int8, got none"),
    Bad("two precisions", ["--fp16", "--int8"], "got --fp16 and --int8"),
    Bad("int8 without images", ["--int8"], "run capgan-edge calibrate {path} --images DIR first, or pass --images DIR"),
    Bad("images for fp32", ["--fp32", "--images", "."], "although the bundle has its FP32 graph; leave it out"),
    Bad("no such images for fp16", ["--fp16", "--images", "nowhere"], "nowhere"),
    Bad("images of another size", ["--fp16", "--images", "signs:48"], "name data of that size with --images, e.g."),
    Bad("a workspace without end", ["--fp32", "--workspace-gib", "1e300"], "of at most 1024, got 1e+300"),
    Bad("a batch without end", ["--fp32", "--batch", "1,1,1000000000000"], "max <= 4096"),
    Bad("a bad batch", ["--fp32", "--batch", "8,1"], "expected --batch as min,opt,max"),
    Bad("a GPU that it cannot compile for", ["--fp32", "--target", "sm_90"], "expected targets among sm_75"),
    Bad("a word for a GPU", ["--fp32", "--target", "orin"], "expected a target such as sm_86, got 'orin'"),
    Bad("the other's option", ["--fp32", "--timing-cache", "t"], "no --timing-cache with tensorrt_rtx"),
    Bad("another flavour", ["--fp32", "--flavour", "cuda"], "expected --flavour tensorrt or tensorrt_rtx, got 'cuda'"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_mistake_is_one_line_and_changes_nothing(
    bad: Bad, copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of()
    before = (path / "manifest.json").read_bytes()
    assert main(["build-engine", str(path), *bad.options], PARTS) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert bad.message.format(path=path) in err
    assert (path / "manifest.json").read_bytes() == before


def test_images_for_a_graph_that_is_there_are_refused(
    copy_of_full: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build-engine", str(copy_of_full()), "--int8", "--images", "."], PARTS) == 1
    assert "although the bundle has its INT8 graph" in capsys.readouterr().err


def test_images_make_the_fp16_graph_and_with_force_make_it_again(
    copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(copy_of())
    build = ("build-engine", path, "--fp16", "--target", "sm_86", "--images")
    for options in (["signs"], ["signs:16", "--force"]):
        assert main([*build, *options], PARTS) == 0
        err = capsys.readouterr().err
        assert "clean frames against FP32" in err
        assert "were given" not in err
    assert main([*build, "signs"], PARTS) == 1
    assert "although the bundle has its FP16 graph; leave it out, or pass --force" in capsys.readouterr().err


def test_a_stale_fp16_graph_is_refused_and_with_force_made_again(
    copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of()
    command = ["build-engine", str(path), "--fp16", "--target", "sm_86"]
    assert main(command, PARTS) == 0
    with locked(path) as bundle:
        changed = bundle.read_artifact("fp32") + b"\x1a\x00"  # another producer: the same graph in other bytes
        grow_bundle(bundle, bundle.manifest, {"model.fp32.onnx": changed})
    capsys.readouterr()
    assert main(command, PARTS) == 1
    assert "expected an FP16 graph made from the bundle's FP32 graph" in capsys.readouterr().err
    assert main([*command, "--force"], PARTS) == 0
    manifest = Bundle.open(path).manifest
    assert manifest.artifacts["model.fp16.onnx"].source_sha256 == manifest.files["model.fp32.onnx"].sha256
    (engine,) = manifest.engines.values()
    assert engine.source_sha256 == manifest.files["model.fp16.onnx"].sha256


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _edit(path: Path) -> None:
    told = json.loads(path.read_bytes())
    path.write_text(json.dumps({**told, "precision": "fp32", "profile": {"min": 2, "opt": 2, "max": 2}}))


DAMAGES = [
    ("a changed byte in the plan", ".plan", _flip),
    ("a lost plan", ".plan", Path.unlink),
    ("an edited sidecar", ".json", _edit),
    ("a broken sidecar", ".json", _flip),
    ("a lost sidecar", ".json", Path.unlink),
]


@pytest.mark.parametrize(("suffix", "damage"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_the_command_that_inspect_prints_repairs_a_damaged_engine(
    suffix: str, damage: Callable[[Path], None], copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of()
    assert main(["build-engine", str(path), "--fp32", "--target", "sm_86", "--batch", "1,1,4"], PARTS) == 0
    (name,) = Bundle.open(path).manifest.engines
    command = json.loads((path / name).with_suffix(".json").read_bytes())["rebuild"].replace("BUNDLE", str(path))
    damage((path / name).with_suffix(suffix))
    capsys.readouterr()
    if (path / name).is_file():
        assert main(["inspect", str(path / name), "--json"], PARTS) == 1
        command = json.loads(capsys.readouterr().out)["verdict"]["rebuild"]
    without_force = command.removeprefix("capgan-edge ").removesuffix(" --force").split()
    assert main(without_force, PARTS) == 1, "nothing damaged is replaced unasked"
    assert main([*without_force, "--force"], PARTS) == 0
    assert list(Bundle.open(path).manifest.engines) == [name]


def test_force_forgives_no_damage_but_that_of_the_engine_it_replaces(
    copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of()
    for target in ("sm_86", "sm_89"):
        assert main(["build-engine", str(path), "--fp32", "--target", target], PARTS) == 0
    _flip(path / "engines/fp32-sm_89-b8.plan")
    assert main(["build-engine", str(path), "--fp32", "--target", "sm_86", "--force"], PARTS) == 1
    assert "fp32-sm_89-b8.plan: expected sha256" in capsys.readouterr().err


def test_a_calibration_that_fails_says_why(copy_of: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = copy_of()
    assert main(["build-engine", str(path), "--int8", "--images", str(path / "nowhere")], PARTS) == 1
    err = capsys.readouterr().err
    assert f"running capgan-edge calibrate {path} --images {path / 'nowhere'}" in err
    assert "error: expected capgan-edge calibrate" in err.splitlines()[-1]
    assert Bundle.open(path).precisions == ("fp32",)


def test_a_calibration_takes_no_library_from_the_working_directory(
    copy_of: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit('not the library')")
    monkeypatch.chdir(tmp_path)
    assert main(["build-engine", str(copy_of()), "--int8", "--images", "nowhere"], PARTS) == 1
    err = capsys.readouterr().err
    assert "not the library" not in err
    assert "but: it said nothing" not in err


@pytest.mark.slow
@pytest.mark.skipif(
    not entry_points(group=GROUP, name="calibration"),
    reason="needs the command calibrate of an installed capgan-edge: pip install -e .",
)
def test_int8_with_images_calibrates_first(
    copy_of_fp32: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, images = copy_of_fp32(), tmp_path / "signs"
    images.mkdir()
    for index, image_HWC in enumerate(load_signs("train", size_px=32, n=43).images_NHWC):
        Image.fromarray(image_HWC).save(images / f"{index}.png")
    assert main(["build-engine", str(path), "--int8", "--images", str(images), "--target", "sm_86"], PARTS) == 0
    assert "in floating point stay" in capsys.readouterr().err, "what calibrate said is passed on"
    manifest = Bundle.open(path).manifest
    assert manifest.artifacts["model.int8.onnx"].calibration is not None
    assert list(manifest.engines) == ["engines/int8-sm_86-b8.plan"]


def test_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build-engine", str(tmp_path / "none"), "--fp32"], PARTS) == 1
    assert "expected a bundle (a directory)" in capsys.readouterr().err


def test_people_see_a_bar_with_the_phase_and_machines_none() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    with build_bar(terminal) as report:
        assert report is not None
        report("Engine Finalization", 0.5)
    assert isinstance(terminal.file, io.StringIO)
    assert "Engine Finalization" in terminal.file.getvalue()
    assert "50%" in terminal.file.getvalue()
    with build_bar(Console(file=io.StringIO())) as report:
        assert report is None
