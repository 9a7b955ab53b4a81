"""`capgan-edge verify` on real bundles: what passes, what fails, what cannot run, and the card that is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
from gate_bundle import INT8, PARTS, Verify, add_engine, manifest_of, spoilt
from onnx import numpy_helper

from capgan_edge.cli import main
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import card_of, card_warning, threshold_of
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_export.bundling import ARTIFACT
from capgan_export.gate import artifacts
from capgan_export.gate.frames import GateSet
from capgan_export.gate.stored import bytes_from_set


def damage(model: onnx.ModelProto) -> None:
    """Make the weights of the purifier's last convolution, or their scale, eight times as large."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    scale_of = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and "purifier" in node.name]
    weight = convolutions[-1].input[1]
    tensor = held[scale_of.get(weight, weight)]
    tensor.CopyFrom(numpy_helper.from_array(8 * numpy_helper.to_array(tensor), tensor.name))


def failed_checks(said: dict[str, Any], artifact: str) -> list[str]:
    (judged,) = [judged for judged in said["artifacts"] if judged["artifact"] == artifact]
    return [check["name"] for check in judged["card"]["checks"] if not check["passed"]]


def test_signs_nano_passes_against_its_twin_and_gets_its_cards(
    own_bundle: Path, verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate_set: GateSet
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "signs-nano").mkdir()  # a folder of the pair's name is not the pair
    stored = tmp_path / "made.npz"
    code, said = verify(own_bundle, "--write-adversarial", str(stored), "--false-alarms", "0.1")
    assert (code, said["passed"], said["written"]) == (0, True, True)
    assert {check["verdict"] for check in said["checks"]} == {"passed"}
    manifest = manifest_of(own_bundle)
    for name in (ARTIFACT, INT8):
        card = card_of(manifest, name)
        assert card is not None
        assert card.passed
        assert "passed its own gates only (small.toml: 64 of 1000 frames clean" in str(card_warning(manifest, name))
        assert [check.name for check in card.checks if check.kind == "robustness"] == [
            "loss of accuracy, FGSM on f", "loss of accuracy, PGD-3 on f(T(.))"
        ]  # fmt: skip
        assert {check.n for check in card.checks} == {64 + 48 + 32, 64, 48, 32}
        threshold = threshold_of(manifest, name)
        assert threshold is not None
        assert threshold.false_alarm_rate == 0.1
    assert threshold_of(manifest, ARTIFACT).threshold != threshold_of(manifest, INT8).threshold  # type: ignore[union-attr]
    figures = {figure.name: figure for figure in manifest.figures}
    assert figures[f"accuracy, clean, {ARTIFACT}"].value > 90
    assert figures[f"detected, FGSM on f, {INT8}"].n == 48
    assert stored.read_bytes() == bytes_from_set(gate_set), "the same seed makes the same set"
    assert card.against_sha256 == said["set"]["sha256"]


def test_the_new_card_replaces_the_old_one_and_nothing_piles_up(
    own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    for _ in range(2):
        code, _said = verify(own_bundle, "--adversarial", str(set_file), "--false-alarms", "0.1")
        assert code == 0
    manifest = manifest_of(own_bundle)
    assert sorted(card.artifact for card in manifest.cards) == [ARTIFACT, INT8]
    assert sorted(threshold.artifact for threshold in manifest.thresholds) == [ARTIFACT, INT8]
    assert len({figure.name for figure in manifest.figures}) == len(manifest.figures)
    code, said = verify(own_bundle, "--adversarial", str(set_file), "--artifact", INT8)
    assert [judged["artifact"] for judged in said["artifacts"]] == [INT8]
    assert "at least 198 clean frames" in said["artifacts"][0]["untuned"]
    assert threshold_of(manifest_of(own_bundle), INT8) is None, "the old one was not tuned with what is asked for now"
    assert threshold_of(manifest_of(own_bundle), ARTIFACT) is not None


@pytest.mark.parametrize("name", [ARTIFACT, INT8])
def test_damaged_weights_fail_with_a_card_that_says_so(
    name: str, own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    assert verify(own_bundle, "--adversarial", str(set_file))[0] == 0
    assert card_warning(spoilt(own_bundle, name, damage), name) == (
        f"{name}: expected a passing robustness card, got one of other bytes; make one with capgan-edge verify"
    )
    code, said = verify(own_bundle, "--adversarial", str(set_file))
    assert (code, said["passed"], said["written"]) == (1, False, True)
    assert "loss of accuracy, FGSM on f" in failed_checks(said, name)
    other = INT8 if name == ARTIFACT else ARTIFACT
    assert failed_checks(said, other) == [], "each is held to the twin, not to its neighbour"
    manifest = manifest_of(own_bundle)
    card = card_of(manifest, name)
    assert card is not None
    assert not card.passed
    assert "got a failed one" in str(card_warning(manifest, name))


def test_nan_weights_fail_the_one_check_that_can_be_made(own_bundle: Path, verify: Verify, set_file: Path) -> None:
    def make_nan(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "victim.head.bias")
        tensor.CopyFrom(numpy_helper.from_array(np.full(20, np.nan, np.float32), tensor.name))

    spoilt(own_bundle, ARTIFACT, make_nan)
    code, said = verify(own_bundle, "--adversarial", str(set_file), "--artifact", ARTIFACT)
    assert code == 1
    (judged,) = said["artifacts"]
    assert [(check["name"], check["value"]) for check in judged["card"]["checks"]] == [("not finite", 64 + 48 + 32)]
    assert (judged["threshold"], judged["untuned"]) == (None, "its outputs are not finite")


def test_nothing_is_written_where_that_was_not_wanted(own_bundle: Path, verify: Verify, set_file: Path) -> None:
    before = (own_bundle / "manifest.json").read_bytes()
    with locked(own_bundle):
        code, said = verify(own_bundle, "--adversarial", str(set_file), "--no-write")
    assert (code, said["written"], len(said["artifacts"])) == (0, False, 2)
    assert (own_bundle / "manifest.json").read_bytes() == before


def test_a_bundle_that_another_command_writes_to_cannot_be_judged_now(
    own_bundle: Path, set_file: Path, gates_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(own_bundle):
        code = main(["verify", str(own_bundle), "--gates", str(gates_file), "--adversarial", str(set_file)], PARTS)
    assert code == 2
    assert "nobody else is writing to" in capsys.readouterr().err


def test_an_engine_that_does_not_run_here_is_not_judged_and_an_error_where_it_was_asked_for(
    own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    engine = "engines/fp32-sm_86.plan"
    add_engine(own_bundle, "engines/fp32-sm_86")
    code, said = verify(own_bundle, "--adversarial", str(set_file))
    verdicts = {judged["artifact"]: judged["verdict"] for judged in said["artifacts"]}
    assert (code, verdicts) == (0, {ARTIFACT: "passed", INT8: "passed", engine: "not made"})
    assert said["not_judged"] == [engine]
    assert said["artifacts"][-1]["reason"]
    manifest = manifest_of(own_bundle)
    assert card_of(manifest, ARTIFACT) is not None
    assert card_of(manifest, engine) is None
    code, said = verify(own_bundle, "--adversarial", str(set_file), "--artifact", engine)
    assert (code, said["passed"], said["written"]) == (2, False, False)
    assert manifest_of(own_bundle) == manifest


def test_the_code_of_a_version_compatible_engine_runs_by_leave_alone(
    own_bundle: Path, verify: Verify, set_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine(own_bundle, "engines/fp32-sm_86")
    asked: list[bool] = []

    def open_engine(bundle: Bundle, name: str, *, allow_host_code: bool) -> NoReturn:
        asked.append(allow_host_code)
        raise ConfigError("no GPU here")

    monkeypatch.setattr(artifacts, "open_engine", open_engine)
    for options in ([], ["--allow-host-code"]):
        assert verify(own_bundle, "--adversarial", str(set_file), *options)[0] == 0
    assert asked == [False, True]


def test_a_folder_around_the_bundle_that_takes_nothing_new_does_not_matter(
    own_bundle: Path, verify: Verify, set_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != own_bundle.parent and really(path, mode))
    code, said = verify(own_bundle, "--adversarial", str(set_file))
    assert (code, said["written"]) == (0, True)
    assert card_of(manifest_of(own_bundle), ARTIFACT) is not None


def test_a_bundle_that_may_not_be_written_is_refused_before_any_work(
    own_bundle: Path, set_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.access

    def access(path: Path, mode: int) -> bool:
        return really(path, mode) and not (Path(path) == own_bundle and mode & os.W_OK)

    monkeypatch.setattr(os, "access", access)
    assert "pass --no-write" in refused([str(own_bundle), "--adversarial", str(set_file)], capsys)


def test_a_twin_of_other_weights_is_a_regression_and_nothing_is_judged_by_it(own_bundle: Path, verify: Verify) -> None:
    code, said = verify(own_bundle, "--against", "cifar10-nano", "--data", "signs:32")
    assert (code, said["artifacts"], said["written"]) == (1, [], False)
    (failed,) = [check for check in said["checks"] if check["verdict"] == "failed"]
    assert "the bundle's purifier has the weights" in failed["detail"]


def refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["verify", *options], PARTS) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_without_twin_and_without_set_it_cannot_run_and_says_what_to_do(
    own_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with locked(own_bundle) as bundle:
        purifier = bundle.manifest.purifier.model_copy(update={"sha256": "0" * 64})
        grow_bundle(bundle, bundle.manifest.model_copy(update={"purifier": purifier}), {})
    error = refused([str(own_bundle)], capsys)
    assert "got no torch pair 'signs-nano' with its weights" in error
    assert "--against" in error
    assert "--adversarial" in error
    assert manifest_of(own_bundle).cards == ()


def test_what_contradicts_itself_cannot_run(
    own_bundle: Path, set_file: Path, gates_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [str(own_bundle), "--gates", str(gates_file), "--adversarial", str(set_file)]
    assert "got both" in refused([*small, "--write-adversarial", str(tmp_path / "new")], capsys)
    assert "expected an artifact of the bundle" in refused([*small, "--artifact", "model.fp8.onnx"], capsys)
    assert "got one without PGD-40" in refused([str(own_bundle), "--adversarial", str(set_file)], capsys)
    assert "share of false alarms" in refused([*small, "--false-alarms", "0"], capsys)
    assert "expected a stored adversarial set" in refused([str(own_bundle), "--adversarial", str(gates_file)], capsys)
    assert "expected gates" in refused([str(own_bundle), "--gates", str(tmp_path / "none")], capsys)
    assert manifest_of(own_bundle).cards == ()


EDGE = """
import sys
for name in ("torch", "onnx", "onnxscript", "safetensors", "lightning_fabric", "PIL", "matplotlib"):
    sys.modules[name] = None
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
sys.exit(main(sys.argv[1:], [EntryPoint("export", "capgan_export.command:app", GROUP)]))
"""


def on_the_edge(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in an interpreter where torch cannot be imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [str(argument) for argument in arguments]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", EDGE, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stored_set_judges_where_torch_cannot_be_imported(own_bundle: Path, set_file: Path, gates_file: Path) -> None:
    done = on_the_edge("verify", own_bundle, "--gates", gates_file, "--adversarial", set_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "model.int8.onnx (int8): passed" in done.stdout
    card = card_of(manifest_of(own_bundle), INT8)
    assert card is not None
    assert card.passed


def test_without_torch_and_without_a_set_it_says_that_torch_is_missing(own_bundle: Path) -> None:
    done = on_the_edge("verify", own_bundle)
    assert done.returncode == 2
    assert "got no torch here" in done.stderr
    assert done.stderr.count("\n") == 1
