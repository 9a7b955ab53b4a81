"""`capgan-edge calibrate` end to end: what it adds to a bundle, what it says, and what it refuses in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from calibrating import INT8, PARTS, calibrate
from small_graph import MIDDLE

from capgan_calibration.adding import CalibrationConfig
from capgan_calibration.mixture import mixture_from_text
from capgan_calibration.sensitivity import DropLimits
from capgan_edge.cli import main
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import Figure
from capgan_export.precision.rounding import has_fp16
from capgan_export.verification import verify_bundle


def test_clean_frames_make_an_int8_graph_whose_record_says_how(
    small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(small_bundle, camera) == 0
    said = capsys.readouterr()
    assert "calibrated on 40 frames of camera: 100 % clean" in said.out
    assert "purifier.stem/Conv: a first layer of the purifier" in said.out
    assert "warning: only 40 images" in said.err
    assert "attacked frames were not checked" in said.err
    bundle = Bundle.open(small_bundle)
    assert bundle.precisions == ("fp32", "int8")
    record = bundle.manifest.artifacts[INT8]
    assert record.source_sha256 == bundle.manifest.files["model.fp32.onnx"].sha256
    assert record.settings["num_quantised"] == len(MIDDLE)
    assert record.calibration is not None
    assert (record.calibration.n, record.calibration.data, record.calibration.attack) == (40, "camera", {})
    assert record.calibration.method == "percentile"
    (parity,) = [held for held in bundle.manifest.parity if held.artifact == INT8]
    assert parity.passed
    assert parity.settings["artifact_sha256"] == bundle.manifest.files[INT8].sha256
    assert str(camera.parent) not in (small_bundle / "manifest.json").read_text()
    checks = {check.name: check.verdict for check in verify_bundle(small_bundle).checks if INT8 in check.name}
    assert set(checks.values()) == {"passed"}


def test_too_few_images_are_counted_before_they_are_refused(
    small_bundle: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(next(camera.iterdir()), tmp_path / "one")
    assert calibrate(small_bundle, tmp_path / "one") == 1
    said = capsys.readouterr().err
    assert "one: 1 of the 40 images asked for are there" in said
    assert "got 1 image;" in said
    assert "1 images" not in said


def test_machines_get_one_json_object(small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate(small_bundle, camera, "--json", "--exclude", "victim.*", "--method", "minmax") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quantised"] == ["purifier.a/Conv", "purifier.b/Conv", "purifier.up/ConvTranspose"]
    assert told["record"]["calibration"]["method"] == "minmax"
    assert told["parity"][0]["passed"]
    assert not told["ranges_from_cache"]


def test_the_same_again_gives_the_same_bytes_from_the_cache(
    small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(small_bundle, camera) == 0
    first = Bundle.open(small_bundle).read_artifact("int8")
    capsys.readouterr()
    assert calibrate(small_bundle, camera, "--force") == 0
    assert "from the cache" in capsys.readouterr().out
    assert Bundle.open(small_bundle).read_artifact("int8") == first
    assert calibrate(small_bundle, camera, "--force", "--no-cache") == 0
    assert "measured now" in capsys.readouterr().out


def test_a_replaced_graph_loses_its_card_and_threshold_and_others_keep_theirs(small_bundle: Path, camera: Path) -> None:
    assert calibrate(small_bundle, camera) == 0
    names = ("model.fp32.onnx", INT8)
    with locked(small_bundle) as bundle:
        hashes = {name: bundle.manifest.files[name].sha256 for name in names}
        check = CardCheck(name="clean", kind="task", value=0, comparison="at most", limit=1, unit="points", n=1,
                          passed=True)  # fmt: skip
        cards = tuple(
            RobustnessCard(artifact=name, artifact_sha256=hashes[name], against=names[0],
                           against_sha256=hashes[names[0]], created="2025-01-01", data="random", seed=0, device="cpu",
                           settings={}, checks=(check,), passed=True) for name in names)  # fmt: skip
        thresholds = tuple(
            SuspicionThreshold(artifact=name, artifact_sha256=hashes[name], threshold=0.5, false_alarm_rate=0.1,
                               measured_rate=0.1, n=1, seed=0, data="random") for name in names)  # fmt: skip
        figures = tuple(
            Figure(name="accuracy", value=50, unit="%", n=1, seed=0, settings={"artifact": name}, data="random",
                   device="cpu") for name in names)  # fmt: skip
        update = {"cards": cards, "thresholds": thresholds, "figures": figures}
        grow_bundle(bundle, bundle.manifest.model_copy(update=update), {})
    assert calibrate(small_bundle, camera, "--force", "--method", "minmax") == 0
    manifest = Bundle.open(small_bundle).manifest
    assert [card.artifact for card in manifest.cards] == ["model.fp32.onnx"]
    assert [held.artifact for held in manifest.thresholds] == ["model.fp32.onnx"]
    assert [figure.settings["artifact"] for figure in manifest.figures] == ["model.fp32.onnx"]
    assert len([held for held in manifest.parity if held.artifact == INT8]) == 1


@pytest.mark.slow
def test_attacked_frames_and_a_ranking_of_the_packaged_pair(
    signs_copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = signs_copy()
    few = [part for layers in ("victim.units", "purifier.*coder", "purifier.up", "purifier.merge")
           for part in ("--exclude", f"{layers}*")]  # fmt: skip
    options = [
        "--mix",
        "clean:1,adversarial:1",
        "--n",
        "40",
        "--num-check",
        "40",
        "--num-rank",
        "32",
        "--attack",
        "fgsm",
    ]
    assert main(["calibrate", str(path), *options, *few, "--auto", "--max-robust-drop", "20"], PARTS) == 0
    said = capsys.readouterr().out
    assert "50 % clean, 50 % adversarial" in said
    assert "on 40 attacked frames the label of FP32 stays on" in said
    assert "layers by robustness: points of accuracy lost by quantising it alone" in said
    assert "the limits hold with every layer quantised" in said
    record = Bundle.open(path).manifest.artifacts[INT8]
    assert record.calibration is not None
    assert record.calibration.attack["attack"] == "fgsm"
    assert record.calibration.mixture == {"clean": 0.5, "adversarial": 0.5}
    assert {"sensitivity", "auto"} <= record.settings.keys()
    assert record.settings["rest"] == "fp16"
    assert has_fp16(Bundle.open(path).read_artifact("int8"))


def test_layers_that_are_left_out_stay_in_fp16_unless_fp32_is_asked_for() -> None:
    config = CalibrationConfig(mixture=mixture_from_text("clean"))
    assert config.floats == "fp32"
    auto = replace(config, sensitivity="only", limits=DropLimits())
    assert auto.floats == "fp16"
    assert replace(auto, rest="fp32").floats == "fp32"
    assert replace(config, rest="fp16").floats == "fp16"


def test_clean_frames_need_no_torch(small_bundle: Path, camera: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'safetensors', 'onnxscript'): sys.modules[name] = None\n"
        "from importlib.metadata import EntryPoint\n"
        "from capgan_edge.cli import main\n"
        f"parts = [EntryPoint('calibration', {PARTS[0].value!r}, {PARTS[0].group!r})]\n"
        f"sys.exit(main(['calibrate', {str(small_bundle)!r}, '--images', {str(camera)!r}, '--mix', 'clean',"
        " '--n', '40', '--num-check', '32'], parts))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert INT8 in Bundle.open(small_bundle).manifest.artifacts
