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
from capgan_edge.runtime.card_check import FAILS_AT, LAXER, ONNX_RUNTIME, OPENVINO_BF16, RUNTIME, card_of, is_loss
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


def add_card(path: Path, runtime: str | None = None, *, threshold: float | None = 0.5, passed: bool = True) -> Bundle:
    """Give the graph a card and a threshold beside those it has; without a runtime, as before cards named one."""
    with locked(path) as bundle:
        manifest, digest = bundle.manifest, bundle.manifest.files[NAME].sha256
        check = CardCheck(name="accuracy under PGD-40", kind="robustness", value=0.0, comparison="at most", limit=1.0,
                          unit="points", n=100, passed=passed)  # fmt: skip
        held: dict[str, Any] = {"gates": "default.toml", LAXER: [], FAILS_AT: {check.name: 1.2}}
        held |= {} if runtime is None else {RUNTIME: runtime}
        card = RobustnessCard(artifact=NAME, artifact_sha256=digest, against=NAME, against_sha256=digest,
                              created="2025-06-01", data="signs/test", seed=0, device="cpu", settings=held,
                              checks=(check,), passed=passed)  # fmt: skip
        changes: dict[str, Any] = {"cards": (*manifest.cards, card)}
        if threshold is not None:
            tuned = SuspicionThreshold(artifact=NAME, artifact_sha256=digest, threshold=threshold, n=100, seed=0,
                                       false_alarm_rate=0.01, measured_rate=0.01, data="signs/test",
                                       runtime=runtime)  # fmt: skip
            changes["thresholds"] = (*manifest.thresholds, tuned)
        return grow_bundle(bundle, manifest.model_copy(update=changes), {})


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
    opened = open_runner(held, offered=(CPU, OPENVINO))
    with opened.runner as runner:
        assert isinstance(runner, OrtRunner)
    assert "model.fp32.onnx is not as well verified on openvino, which is installed, as on onnxruntime" in opened.reason
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
    held = add_card(bundle_path, OPENVINO)
    with open_runner(held, offered=(CPU, OPENVINO)).runner as runner:
        assert isinstance(runner, OpenVinoRunner)
    with capgan_edge.load(bundle_path, backend="openvino", require_card=True) as classifier:
        assert classifier.describe()["card_warning"] is None
        assert classifier.describe()["suspicion_threshold"] == 0.5
    with pytest.raises(ArtifactError, match="measured on onnxruntime, got one measured on openvino"):
        capgan_edge.load(bundle_path, backend="cpu", require_card=True)


@needs_openvino
def test_each_runtime_has_its_own_card_and_its_own_threshold(bundle_path: Path) -> None:
    add_card(bundle_path, threshold=0.5)
    held = add_card(bundle_path, OPENVINO, threshold=0.25)
    for backend, threshold in (("cpu", 0.5), ("openvino", 0.25)):
        with capgan_edge.load(bundle_path, backend=backend, require_card=True) as classifier:
            assert classifier.describe()["suspicion_threshold"] == threshold
    with open_runner(held, offered=(CPU, OPENVINO)).runner as runner:
        assert isinstance(runner, OpenVinoRunner), "nothing is lost by it any more"
    assert card_of(held.manifest, NAME, OPENVINO_BF16) is None


@needs_openvino
def test_auto_stays_where_openvino_has_less(bundle_path: Path) -> None:
    add_card(bundle_path)
    held = add_card(bundle_path, OPENVINO, threshold=None)
    assert is_loss(held.manifest, NAME, of=ONNX_RUNTIME, to=OPENVINO), "the threshold"
    with open_runner(held, offered=(CPU, OPENVINO)).runner as runner:
        assert isinstance(runner, OrtRunner)


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (None, False), (False, None)], ids=str)
def test_a_failed_card_is_neither_moved_to_nor_run_away_from(
    ours: bool | None, theirs: bool | None, bundle_path: Path
) -> None:
    for runtime, passed in ((ONNX_RUNTIME, ours), (OPENVINO, theirs)):
        if passed is not None:
            add_card(bundle_path, runtime, threshold=None, passed=passed)
    assert is_loss(Bundle.open(bundle_path).manifest, NAME, of=ONNX_RUNTIME, to=OPENVINO)


def test_where_nothing_was_measured_or_both_passed_nothing_is_lost(bundle_path: Path) -> None:
    assert not is_loss(Bundle.open(bundle_path).manifest, NAME, of=ONNX_RUNTIME, to=OPENVINO)
    add_card(bundle_path)
    both = add_card(bundle_path, OPENVINO)
    assert not is_loss(both.manifest, NAME, of=ONNX_RUNTIME, to=OPENVINO)


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
