"""`openvino` by name, and by `auto` where it is installed on x86 and no card or threshold would be lost by it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import capgan_edge
from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_edge.runtime import backends
from capgan_edge.runtime.backends import OPENVINO, open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import FAILS_AT, LAXER, RUNTIME, measured_on
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.openvino import OpenVinoRunner, is_installed
from capgan_edge.runtime.ort import CPU, OrtRunner

NAME = "model.fp32.onnx"
needs_openvino = pytest.mark.skipif(not is_installed(), reason="needs openvino: pip install 'capgan-edge[openvino]'")


def has_bf16() -> bool:
    if not is_installed():
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


def add_card(path: Path, **settings: Any) -> Bundle:
    """Give the graph a passing card and a threshold."""
    with locked(path) as bundle:
        digest = bundle.manifest.files[NAME].sha256
        check = CardCheck(name="accuracy under PGD-40", kind="robustness", value=0.0, comparison="at most", limit=1.0,
                          unit="points", n=100, passed=True)  # fmt: skip
        held = {"gates": "default.toml", LAXER: [], FAILS_AT: {check.name: 1.2}} | settings
        card = RobustnessCard(artifact=NAME, artifact_sha256=digest, against=NAME, against_sha256=digest,
                              created="2025-06-01", data="signs/test", seed=0, device="cpu", settings=held,
                              checks=(check,), passed=True)  # fmt: skip
        threshold = SuspicionThreshold(artifact=NAME, artifact_sha256=digest, threshold=0.5, n=100, seed=0,
                                       false_alarm_rate=0.01, measured_rate=0.01, data="signs/test")  # fmt: skip
        changes = {"cards": (card,), "thresholds": (threshold,)}
        return grow_bundle(bundle, bundle.manifest.model_copy(update=changes), {})


@needs_openvino
def test_what_was_asked_for_is_what_runs(bundle_path: Path) -> None:
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    with capgan_edge.load(bundle_path, backend="openvino", threads=1) as classifier:
        said = classifier.describe()
        verdicts = classifier.classify(frames_NHWC)
    assert (said["backend"], said["precision"], said["providers"]) == ("openvino", "fp32", ["OpenVINO CPU"])
    assert said["backend_reason"] == "openvino: asked for"
    with capgan_edge.load(bundle_path, backend="cpu") as classifier:
        assert [verdict.index for verdict in classifier.classify(frames_NHWC)] == [each.index for each in verdicts]


@needs_openvino
@pytest.mark.skipif(not has_bf16(), reason="needs a processor that computes in BF16")
def test_bf16_runs_the_fp32_graph_and_is_called_what_it_is(bundle_path: Path) -> None:
    for backend in ("openvino", "auto"):
        opened = open_runner(Bundle.open(bundle_path), backend=backend, precision="bf16")
        with opened.runner as runner:
            assert isinstance(runner, OpenVinoRunner)
            assert (runner.arithmetic, opened.precision, opened.artifact) == ("bf16", "bf16", NAME)


@needs_openvino
def test_bf16_is_openvino_s_alone(bundle_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected the backend openvino for bf16, .* got cpu"):
        open_runner(Bundle.open(bundle_path), backend="cpu", precision="bf16")


@needs_openvino
def test_auto_takes_it_before_onnx_runtime_s_cpu_and_says_so(bundle_path: Path) -> None:
    opened = open_runner(Bundle.open(bundle_path), offered=(CPU, OPENVINO))
    with opened.runner as runner:
        assert isinstance(runner, OpenVinoRunner)
        assert (opened.backend, runner.arithmetic) == ("openvino", "f32")
    assert opened.reason.startswith("openvino: it is installed, on x86; the bundle has no TensorRT engine; ")


@needs_openvino
@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
def test_auto_offers_it_on_x86_alone(machine: str, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.platform, "machine", lambda: machine)
    monkeypatch.setattr(backends, "available_providers", lambda: (CPU,))
    with open_runner(Bundle.open(bundle_path)).runner as runner:
        assert isinstance(runner, OrtRunner if machine == "aarch64" else OpenVinoRunner)


@needs_openvino
def test_auto_does_not_trade_a_card_or_a_threshold_for_speed(bundle_path: Path) -> None:
    held = add_card(bundle_path)
    assert measured_on(held.manifest, NAME) == "onnxruntime"
    opened = open_runner(held, offered=(CPU, OPENVINO))
    with opened.runner as runner:
        assert isinstance(runner, OrtRunner)
    assert "model.fp32.onnx was measured on onnxruntime and not on openvino, which is installed" in opened.reason
    with capgan_edge.load(bundle_path, require_card=True) as classifier:
        assert classifier.describe()["suspicion_threshold"] == 0.5


@needs_openvino
def test_a_card_from_onnx_runtime_does_not_vouch_for_openvino(bundle_path: Path) -> None:
    add_card(bundle_path)
    with capgan_edge.load(bundle_path, backend="openvino") as classifier:
        said = classifier.describe()
        assert "measured on openvino, got one measured on onnxruntime" in said["card_warning"]
        assert said["suspicion_threshold"] is None
        assert classifier.classify(np.zeros((8, 8, 3), np.uint8))[0].is_alarm is None
    with pytest.raises(ArtifactError, match="measured on openvino, got one measured on onnxruntime"):
        capgan_edge.load(bundle_path, backend="openvino", require_card=True)


@needs_openvino
def test_a_card_of_its_own_lets_auto_take_it_and_does_not_vouch_for_the_others(bundle_path: Path) -> None:
    held = add_card(bundle_path, **{RUNTIME: "openvino"})
    with open_runner(held, offered=(CPU, OPENVINO)).runner as runner:
        assert isinstance(runner, OpenVinoRunner)
    with capgan_edge.load(bundle_path, backend="openvino", require_card=True) as classifier:
        assert classifier.describe()["card_warning"] is None
        assert classifier.describe()["suspicion_threshold"] == 0.5
    with pytest.raises(ArtifactError, match="measured on onnxruntime, got one measured on openvino"):
        capgan_edge.load(bundle_path, backend="cpu", require_card=True)


def test_where_it_is_not_installed_its_extra_is_named(bundle_path: Path, without_openvino: None) -> None:
    for options in ({"backend": "openvino"}, {"precision": "bf16"}):
        with pytest.raises(MissingDependencyError, match=r"needs openvino.*capgan-edge\[openvino\]"):
            capgan_edge.load(bundle_path, **options)  # type: ignore[arg-type]
    assert not is_installed()
    with capgan_edge.load(bundle_path) as classifier:
        assert classifier.backend_reason.startswith(("cpu: ", "cuda: "))


@needs_openvino
def test_auto_works_where_onnx_runtime_is_not_installed(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.platform, "machine", lambda: "x86_64")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with capgan_edge.load(bundle_path) as classifier:
        assert classifier.describe()["backend"] == "openvino"


@needs_openvino
def test_a_graph_that_it_cannot_load_is_an_error_or_passed_over(bundle_path: Path) -> None:
    with locked(bundle_path) as bundle:
        broken = grow_bundle(bundle, bundle.manifest, {NAME: b"no model"})
    with pytest.raises(ArtifactError, match="expected an ONNX model"):
        open_runner(broken, backend="openvino")
    with pytest.raises(ArtifactError, match="ONNX Runtime can load"):
        open_runner(broken, offered=(CPU, OPENVINO))
