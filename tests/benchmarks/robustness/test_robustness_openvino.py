"""Artifacts scored in OpenVINO: named as such, and with answers of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from capgan_benchmarks.robustness.kept import Kept, kept_scenario
from capgan_benchmarks.robustness.store import BatchStore
from capgan_benchmarks.robustness.subject import FP32, Subject, find_subject
from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.hardware import cpu_name
from capgan_edge.runtime import openvino
from capgan_edge.runtime.card_check import OPENVINO, OPENVINO_BF16
from capgan_edge.runtime.openvino import OpenVinoRunner, is_installed

BENCHMARK = EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)
INT8 = "model.int8.onnx"
pytestmark = pytest.mark.skipif(not is_installed(), reason="needs openvino: pip install 'capgan-edge[openvino]'")


def has_bf16() -> bool:
    if not is_installed():
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="module")
def on_openvino(shipped: Path) -> Iterator[Subject]:
    with find_subject(str(shipped), runtime=OPENVINO) as held:
        yield held


def test_the_graphs_run_in_openvino_and_say_so(on_openvino: Subject, subject: Subject) -> None:
    assert list(on_openvino.artifacts) == [FP32, INT8]
    assert all(isinstance(each.runner, OpenVinoRunner) for each in on_openvino.artifacts.values())
    identities = [system.identity for system in on_openvino.artifact_systems]
    assert [identity.precision for identity in identities] == ["fp32", "int8"]
    device = f"{cpu_name()}, OpenVINO {openvino.version()}, CPU, floating point in float32"
    assert [identity.device for identity in identities] == [device, device]
    assert [identity.sha256 for identity in identities] == [each.sha256 for each in subject.artifacts.values()]
    frames_NHWC = load_signs("test", size_px=32, n=40).images_NHWC
    theirs, ours = (held.artifact_systems[0].say(frames_NHWC) for held in (subject, on_openvino))
    assert (theirs.labels_N == ours.labels_N).all()


@pytest.mark.skipif(not has_bf16(), reason="needs a processor that computes in BF16")
@pytest.mark.parametrize("spec", ["a bundle", "a packaged pair"])
def test_bf16_is_the_fp32_graph_alone_and_called_what_it_is(spec: str, shipped: Path) -> None:
    with find_subject(str(shipped) if spec == "a bundle" else "signs-nano", runtime=OPENVINO_BF16) as held:
        (system,) = held.artifact_systems
        assert (system.name, system.identity.precision) == (FP32, "bf16")
        assert system.identity.device.endswith(", floating point in bfloat16")
        runner = held.artifacts[FP32].runner
        assert isinstance(runner, OpenVinoRunner)
        assert runner.arithmetic == "bf16"


def test_answers_of_one_runtime_are_never_taken_for_another_s(
    on_openvino: Subject, subject: Subject, tmp_path: Path
) -> None:
    store = BatchStore(tmp_path, print)

    def kept(of: Subject, name: str, artifact: str | None) -> Kept:
        held = kept_scenario(of, name, artifact, store, lambda num, seconds: None)
        assert isinstance(held, Kept)
        return held

    ours, theirs = (kept(held, "artifact-query", INT8) for held in (on_openvino, subject))
    assert ours.target_sha256 != theirs.target_sha256
    for name, artifact in (("end-to-end", None), ("artifact-fake-quant", INT8)):
        assert kept(on_openvino, name, artifact).target_sha256 == kept(subject, name, artifact).target_sha256


def test_the_command_scores_in_openvino(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "decoded"))
    few = ["--scenarios", "artifact-transfer", "--attacks", "fgsm", "--epsilons", "8", "--n", "8", "--json"]
    arguments = ["benchmark", "robustness", str(shipped), *few, "--cache", str(tmp_path / "crafted")]
    assert main([*arguments, "--backend", "openvino"], parts=[BENCHMARK]) == 0
    record = json.loads(capsys.readouterr().out)
    devices = {system["name"]: system["device"] for system in record["systems"]}
    assert ", OpenVINO " in devices[FP32]
    assert ", OpenVINO " in devices[INT8]
    assert main([*arguments, "--precision", "bf16"], parts=[BENCHMARK]) == 1
    assert "--precision bf16 beside --backend openvino" in capsys.readouterr().err
