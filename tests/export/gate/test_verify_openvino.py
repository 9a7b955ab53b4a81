"""`capgan-edge verify --backend openvino`: a card and a threshold of that runtime, beside those of ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gate_bundle import INT8, PARTS, Verify, add_engine, add_graph, manifest_of, spoilt

import capgan_edge
from capgan_edge.cli import main
from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_edge.runtime import openvino
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import (
    ONNX_RUNTIME,
    OPENVINO,
    OPENVINO_BF16,
    RUNTIME,
    TENSORRT,
    card_of,
    cards_of,
    runtime_of,
    threshold_of,
)
from capgan_edge.runtime.openvino import OpenVinoRunner, is_installed
from capgan_export.bundling import ARTIFACT
from capgan_export.gate import gates_file as gates_module
from capgan_export.gate.artifacts import judged_names, open_artifact, precision_of, runtime_from_options
from capgan_export.precision.fp16 import fp16_from_fp32

ON_OPENVINO = ("--backend", "openvino")
IN_BF16 = (*ON_OPENVINO, "--precision", "bf16")
FP16 = "model.fp16.onnx"


def capabilities() -> list[str]:
    if not is_installed():
        return []
    import openvino

    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


needs_openvino = pytest.mark.skipif(not is_installed(), reason="needs openvino: pip install 'capgan-edge[openvino]'")
needs_bf16 = pytest.mark.skipif("BF16" not in capabilities(), reason="needs a processor that computes in BF16")


@needs_openvino
def test_each_runtime_keeps_a_card_a_threshold_and_figures_of_its_own(
    own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    options = ("--adversarial", str(set_file), "--false-alarms", "0.1")
    assert verify(own_bundle, *options)[0] == 0
    before = manifest_of(own_bundle)
    for _ in range(2):
        code, said = verify(own_bundle, *options, *ON_OPENVINO)
        assert (code, {judged["runtime"] for judged in said["artifacts"]}) == (0, {OPENVINO})
    manifest = manifest_of(own_bundle)
    assert manifest.cards[:2] == before.cards, "ONNX Runtime's are as they were"
    assert [(card.artifact, runtime_of(card, manifest)) for card in manifest.cards] == [
        (ARTIFACT, ONNX_RUNTIME), (INT8, ONNX_RUNTIME), (ARTIFACT, OPENVINO), (INT8, OPENVINO)
    ]  # fmt: skip
    for name in (ARTIFACT, INT8):
        card = card_of(manifest, name, OPENVINO)
        assert card is not None
        assert card.device.endswith(f", OpenVINO {openvino.version()}, CPU, floating point in float32")
        tuned = threshold_of(manifest, name, OPENVINO)
        assert tuned is not None
        assert tuned.runtime == OPENVINO
    ours, theirs = (threshold_of(manifest, INT8, runtime) for runtime in (ONNX_RUNTIME, OPENVINO))
    assert ours is not None
    assert theirs is not None
    assert ours.threshold != theirs.threshold, "INT8 gives other suspicions in OpenVINO, and each is tuned on its own"
    names = [figure.name for figure in manifest.figures]
    assert len(set(names)) == len(names)
    assert {f"accuracy, clean, {INT8}", f"accuracy, clean, {INT8}, openvino"} <= set(names)


@needs_openvino
def test_a_card_of_the_shipped_gates_lets_openvino_run_and_auto_take_it(
    own_bundle: Path, verify: Verify, set_file: Path, gates_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates that cost minutes are shipped; here others are, which cost seconds."""
    shipped = tmp_path / "shipped.toml"
    limits = gates_module.DEFAULT.read_text().partition("[limits.fp32]")[2].partition("[[attacks]]")[0]
    shipped.write_text(gates_file.read_text() + "[limits.fp32]" + limits)
    monkeypatch.setattr(gates_module, "DEFAULT", shipped)
    options = ("--adversarial", str(set_file), "--artifact", ARTIFACT, "--false-alarms", "0.1")
    assert verify(own_bundle, *options)[0] == 0
    with pytest.raises(ArtifactError, match="capgan-edge verify --backend openvino"):
        capgan_edge.load(own_bundle, backend="openvino", require_card=True)
    assert verify(own_bundle, *options, *ON_OPENVINO)[0] == 0
    for backend in ("openvino", "cpu"):
        with capgan_edge.load(own_bundle, backend=backend, precision="fp32", require_card=True) as classifier:
            assert classifier.describe()["suspicion_threshold"] is not None


@needs_bf16
def test_bf16_has_a_card_of_its_own_held_to_the_limits_of_fp16(
    own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    code, said = verify(own_bundle, "--adversarial", str(set_file), *IN_BF16)
    assert code == 0
    (judged,) = said["artifacts"]
    assert (judged["artifact"], judged["precision"], judged["runtime"]) == (ARTIFACT, "bf16", OPENVINO_BF16)
    (card,) = cards_of(manifest_of(own_bundle), ARTIFACT)
    assert card.settings[RUNTIME] == OPENVINO_BF16
    assert card.device.endswith(", CPU, floating point in bfloat16")
    limits = {check.name: check.limit for check in card.checks}
    assert limits["logits, largest difference"] == 0.02
    assert next(check.value for check in card.checks if check.name == "logits, largest difference") > 1e-4
    with capgan_edge.load(own_bundle, precision="bf16") as classifier:
        assert "passed its own gates only" in classifier.describe()["card_warning"]


@needs_openvino
@pytest.mark.skipif("FP16" in capabilities(), reason="needs a processor that does not compute in FP16")
def test_an_arithmetic_that_the_processor_lacks_is_not_judged_and_alone_not_passed(
    own_bundle: Path, verify: Verify, set_file: Path
) -> None:
    bundle = Bundle.open(own_bundle)
    add_graph(own_bundle, FP16, fp16_from_fp32(bundle.read_file(ARTIFACT)).model_bytes, "fp16")
    code, said = verify(own_bundle, "--adversarial", str(set_file), *ON_OPENVINO)
    assert (code, said["not_judged"]) == (0, [FP16])
    code, said = verify(own_bundle, "--adversarial", str(set_file), *ON_OPENVINO, "--artifact", FP16)
    assert (code, said["passed"]) == (2, False)
    assert "a processor that computes in float16" in said["artifacts"][0]["reason"]


@needs_openvino
def test_cards_of_other_bytes_go_whatever_they_ran_on(own_bundle: Path, verify: Verify, set_file: Path) -> None:
    options = ("--adversarial", str(set_file), "--artifact", INT8)
    assert verify(own_bundle, *options, *ON_OPENVINO)[0] == 0
    spoilt(own_bundle, INT8, lambda model: model.__setattr__("doc_string", "other bytes, the same graph"))
    _code, said = verify(own_bundle, *options)  # its parity was measured on the bytes before, which fails the structure
    assert said["written"]
    manifest = manifest_of(own_bundle)
    assert [runtime_of(card, manifest) for card in manifest.cards] == [ONNX_RUNTIME]
    assert {figure.settings[RUNTIME] for figure in manifest.figures if "made_by" in figure.settings} == {ONNX_RUNTIME}


@needs_openvino
def test_graphs_alone_are_for_openvino_and_fp32_alone_for_bf16(signs_bundle: Bundle, own_bundle: Path) -> None:
    add_engine(own_bundle, "engines/fp32-sm_86")
    manifest = manifest_of(own_bundle)
    engine = "engines/fp32-sm_86.plan"
    assert judged_names(manifest, ()) == (ARTIFACT, INT8, engine)
    assert judged_names(manifest, (), OPENVINO) == (ARTIFACT, INT8)
    assert judged_names(manifest, (), OPENVINO_BF16) == (ARTIFACT,)
    with pytest.raises(ConfigError, match=rf"expected a graph for openvino, got {engine}"):
        judged_names(manifest, (engine,), OPENVINO)
    with pytest.raises(ConfigError, match=rf"expected an FP32 graph for openvino bf16, got {INT8}"):
        judged_names(manifest, (INT8,), OPENVINO_BF16)
    assert [precision_of(manifest, INT8, OPENVINO), precision_of(manifest, ARTIFACT, OPENVINO_BF16)] == ["int8", "bf16"]
    with open_artifact(signs_bundle, INT8, OPENVINO).runner as runner:
        assert isinstance(runner, OpenVinoRunner)
        assert runner.arithmetic == "f32"


def test_engines_beside_onnx_runtime_are_of_tensorrt(own_bundle: Path, verify: Verify, set_file: Path) -> None:
    add_engine(own_bundle, "engines/fp32-sm_86")
    _code, said = verify(own_bundle, "--adversarial", str(set_file), "--no-write")
    assert [judged["runtime"] for judged in said["artifacts"]] == [ONNX_RUNTIME, ONNX_RUNTIME, TENSORRT]


@pytest.mark.parametrize(
    ("backend", "precision", "says"),
    [
        ("cuda", None, "expected the backend onnxruntime or openvino, got 'cuda'"),
        ("onnxruntime", "bf16", "--precision bf16 beside --backend openvino"),
        ("openvino", "fp16", "name that with --artifact"),
    ],
)
def test_other_backends_and_precisions_are_refused(backend: str, precision: str | None, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runtime_from_options(backend, precision)
    assert says in str(caught.value)


def test_where_openvino_is_not_installed_its_extra_is_named_before_any_work(
    own_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError):
        runtime_from_options("openvino", None)
    assert main(["verify", str(own_bundle), *ON_OPENVINO], PARTS) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "capgan-edge[openvino]" in said
