"""The Triton model repository: its configurations are read with tritonclient's own schema, in a process of its own.

KServe and tritonclient each bring the protocol's messages, and protobuf takes one of the two a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime import card_check
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord
from capgan_edge.runtime.sidecar import EngineSidecar, Profile, engine_record, json_from_sidecar
from capgan_export.triton.config import TritonConfig
from capgan_export.triton.repository import TritonRequest, export_repository

TRITON = [EntryPoint("triton", "capgan_export.triton.command:app", GROUP)]
READ = """
import json, sys
from pathlib import Path
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
held = {}
for path in Path(sys.argv[1]).glob("*/config.pbtxt"):
    message = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    held[path.parent.name] = json_format.MessageToDict(message, preserving_proto_field_name=True)
print(json.dumps(held))
"""


def read(repository: Path) -> dict[str, dict[str, Any]]:
    """Return each model's configuration as the client's schema has it."""
    done = subprocess.run([sys.executable, "-c", READ, str(repository)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return held


def with_plan(path: Path, *, source_sha256: str | None = None, **changes: Any) -> Bundle:
    """Return a bundle with a file in the place of an engine: nothing here opens a plan, which needs its GPU."""
    plan = b"no plan, but as good as one to whoever only copies it"
    with locked(path) as bundle:
        source = bundle.manifest.files["model.fp32.onnx"].sha256 if source_sha256 is None else source_sha256
        facts: dict[str, Any] = {
            "source": "model.fp32.onnx",
            "source_sha256": source,
            "precision": "fp16",
            "profile": Profile(min=1, opt=4, max=16),
            "flavour": "tensorrt",
            "version": "10.13.3.9",
            "targets": ("sm_87",),
            "device": None,
            "flags": ("STRONGLY_TYPED",),
            "sha256": sha256_of_bytes(plan),
            "size_bytes": len(plan),
            "num_network_layers": 8,
            "num_layers": None,
            "num_casts": None,
            "num_reformats": None,
            "seconds": 0.1,
            "created": "2025-06-01T12:00:00+00:00",
            "rebuild": "none",
        }
        sidecar = EngineSidecar(**{**facts, **changes})
        engines = {**bundle.manifest.engines, "engines/fp16.plan": engine_record(sidecar, "engines/fp16.json")}
        files = {"engines/fp16.plan": plan, "engines/fp16.json": json_from_sidecar(sidecar)}
        return grow_bundle(bundle, bundle.manifest.model_copy(update={"engines": engines}), files)


def test_a_graph_is_configured_as_it_says_itself(whole_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "triton"
    config = TritonConfig(name="signs", max_batch=32, max_wait_ms=1.5, max_queue=77)
    exported = export_repository(TritonRequest(bundle=whole_bundle.path, out=out, config=config))
    assert [(model.name, model.artifact, model.max_batch) for model in exported.models] == [
        ("signs-fp32-onnx", "model.fp32.onnx", 32)
    ]
    held = read(out)["signs-fp32-onnx"]
    assert (held["name"], held["platform"], held["backend"]) == ("signs-fp32-onnx", "onnxruntime_onnx", "onnxruntime")
    assert held["max_batch_size"] == 32
    assert held["input"] == [{"name": "frames", "data_type": "TYPE_UINT8", "dims": ["16", "16", "3"]}]
    outputs = {output["name"]: output for output in held["output"]}
    assert outputs["logits"] == {"name": "logits", "data_type": "TYPE_FP32", "dims": ["5"],
                                 "label_filename": "labels.txt"}  # fmt: skip
    assert outputs["suspicion"] == {"name": "suspicion", "data_type": "TYPE_FP32", "dims": ["1"], "reshape": {}}
    assert outputs["purified"] == {"name": "purified", "data_type": "TYPE_UINT8", "dims": ["16", "16", "3"]}
    assert outputs["raw_logits"]["dims"] == ["5"]
    batching = held["dynamic_batching"]
    assert batching["max_queue_delay_microseconds"] == "1500"
    assert batching["default_queue_policy"]["max_queue_size"] == 77
    assert [warm["batch_size"] for warm in held["model_warmup"]] == [1, 32]
    warm = held["model_warmup"][0]["inputs"]["frames"]
    assert warm == {"data_type": "TYPE_UINT8", "dims": ["16", "16", "3"], "zero_data": True}
    assert held["instance_group"] == [{"count": 1}]  # KIND_AUTO is the schema's default
    sha256 = whole_bundle.manifest.files["model.fp32.onnx"].sha256
    assert held["parameters"]["capgan_sha256"] == {"string_value": sha256}


def test_the_files_are_the_bundles_and_run(whole_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "triton"
    export_repository(TritonRequest(bundle=whole_bundle.path, out=out))
    model = out / "capgan-fp32-onnx" / "1" / "model.onnx"
    assert model.read_bytes() == whole_bundle.read_artifact()
    labels = (out / "capgan-fp32-onnx" / "labels.txt").read_text()
    assert labels == "stop\nyield\nlimit\noneway\nschool\n"
    session = onnxruntime.InferenceSession(model)
    held = read(out)["capgan-fp32-onnx"]
    dims = [int(size) for size in held["input"][0]["dims"]]
    outputs = session.run([output["name"] for output in held["output"]], {"frames": np.zeros((2, *dims), np.uint8)})
    for output, array in zip(held["output"], outputs, strict=True):
        shape = [int(size) for size in output["dims"]] if "reshape" not in output else []
        assert list(array.shape) == [2, *shape]
    assert "capgan-fp32-onnx" in (out / "README.md").read_text()


def test_an_engine_is_configured_by_its_sidecar(copy_of: Callable[[], Path], tmp_path: Path) -> None:
    bundle = with_plan(copy_of())
    out = tmp_path / "triton"
    exported = export_repository(TritonRequest(bundle=bundle.path, out=out))
    assert [model.name for model in exported.models] == ["capgan-fp32-onnx", "capgan-fp16-plan"]
    assert exported.models[1].needs == "TensorRT 10.13.3.9, and sm_87"
    held = read(out)["capgan-fp16-plan"]
    assert (held["platform"], held["backend"], held["max_batch_size"]) == ("tensorrt_plan", "tensorrt", 16)
    assert held["instance_group"] == [{"count": 1, "kind": "KIND_GPU"}]
    assert held["optimization"] == {"cuda": {"graphs": True}}
    assert held["default_model_filename"] == "model.plan"
    assert [warm["batch_size"] for warm in held["model_warmup"]] == [1, 16]
    assert held["output"][0]["dims"] == ["5"]
    assert (out / "capgan-fp16-plan" / "1" / "model.plan").read_bytes() == bundle.read_file("engines/fp16.plan")


def test_names_that_text_format_would_misread_survive(copy_of: Callable[[], Path], tmp_path: Path) -> None:
    name = 'model."quote" {é} # : \'.onnx'
    with locked(copy_of()) as bundle:
        artifacts = {**bundle.manifest.artifacts, name: ArtifactRecord(precision="fp16", opset=20)}
        manifest = bundle.manifest.model_copy(update={"artifacts": artifacts})
        bundle = grow_bundle(bundle, manifest, {name: bundle.read_artifact()})
    out = tmp_path / "triton"
    export_repository(TritonRequest(bundle=bundle.path, out=out, artifacts=(name,)))
    ((model, held),) = read(out).items()
    assert held["parameters"]["capgan_artifact"] == {"string_value": name}
    assert model.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flavour": "tensorrt_rtx"}, "Triton has no backend for TensorRT-RTX"),
        ({"profile": Profile(min=4, opt=4, max=8)}, "Triton sends batches from 1 on, it takes 4 or more"),
    ],
    ids=["rtx", "no single frame"],
)
def test_an_engine_that_triton_cannot_run_is_left_out_and_refused_where_it_was_asked_for(
    changes: dict[str, Any], message: str, copy_of: Callable[[], Path], tmp_path: Path
) -> None:
    bundle = with_plan(copy_of(), **changes)
    with pytest.raises(ArtifactError, match=message):
        export_repository(TritonRequest(bundle=bundle.path, out=tmp_path / "a", artifacts=("engines/fp16.plan",)))
    assert not (tmp_path / "a").exists()
    exported = export_repository(TritonRequest(bundle=bundle.path, out=tmp_path / "b"))
    assert [model.artifact for model in exported.models] == ["model.fp32.onnx"]
    assert message in exported.left_out[0]


def test_an_engine_of_a_graph_that_was_replaced_is_refused(copy_of: Callable[[], Path], tmp_path: Path) -> None:
    bundle = with_plan(copy_of(), source_sha256="a" * 64)
    with pytest.raises(ArtifactError, match="build the engine again"):
        export_repository(TritonRequest(bundle=bundle.path, out=tmp_path / "triton"))


def test_nothing_that_is_there_is_touched(whole_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "triton"
    out.mkdir()
    export_repository(TritonRequest(bundle=whole_bundle.path, out=out))  # an empty directory may be filled
    before = sorted(path for path in tmp_path.rglob("*"))
    for target in (out, whole_bundle.path):
        with pytest.raises(ArtifactError, match="expected nothing or an empty directory"):
            export_repository(TritonRequest(bundle=whole_bundle.path, out=target))
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions hold")
def test_a_folder_that_cannot_be_written_is_one_line(whole_bundle: Bundle, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CapganError, match="nothing was changed there"):
            export_repository(TritonRequest(bundle=whole_bundle.path, out=tmp_path / "triton"))
    finally:
        tmp_path.chmod(0o700)


def test_a_file_above_the_repository_is_one_line_and_leaves_nothing(whole_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CapganError, match=r"choose another|nothing was changed there"):
        export_repository(TritonRequest(bundle=whole_bundle.path, out=tmp_path / "file" / "triton"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_artifacts_of_one_name_are_refused(copy_of: Callable[[], Path], tmp_path: Path) -> None:
    twins = ("model.fp16.a.onnx", "model.FP16-a.onnx")
    with locked(copy_of()) as bundle:
        record = ArtifactRecord(precision="fp16", opset=20)
        manifest = bundle.manifest.model_copy(
            update={"artifacts": {**bundle.manifest.artifacts, **dict.fromkeys(twins, record)}}
        )
        bundle = grow_bundle(bundle, manifest, dict.fromkeys(twins, bundle.read_artifact()))
    out = tmp_path / "triton"
    for artifacts in ((), twins):
        with pytest.raises(
            ArtifactError, match=r"model\.fp16\.a\.onnx and model\.FP16-a\.onnx, both .*; name the ones"
        ):
            export_repository(TritonRequest(bundle=bundle.path, out=out, artifacts=artifacts))
    assert not out.exists()
    one = export_repository(TritonRequest(bundle=bundle.path, out=out, artifacts=twins[:1]))
    assert [model.name for model in one.models] == ["capgan-fp16-a-onnx"]


NAME = "model.fp32.onnx"


def card_of(bundle: Bundle, *, passed: bool = True, sha256: str | None = None, **settings: Any) -> RobustnessCard:
    """A card of the bundle's graph as the shipped gates would make it."""
    check = CardCheck(name="robust accuracy", kind="robustness", value=0.5 if passed else 0.1, comparison="at least",
                      limit=0.4, unit="share", n=100, passed=passed)  # fmt: skip
    strict = {card_check.FAILS_AT: {check.name: 0.1}, card_check.LAXER: []}
    return RobustnessCard(artifact=NAME, artifact_sha256=sha256 or bundle.manifest.files[NAME].sha256,
                          against="tiny in torch", against_sha256="3" * 64, created="2026-11-23", data="signs/test",
                          seed=0, device="a CPU", settings=strict | settings, checks=(check,),
                          passed=passed)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state", "warning"),
    [
        ({}, "passed", None),
        ({"passed": False}, "failed", "got a failed one"),
        ({card_check.LAXER: ["epsilon"]}, "weak", "its own gates only"),
        ({card_check.RUNTIME: "openvino"}, "other runtime", "got one measured on openvino"),
        ({"sha256": "a" * 64}, "stale", "got one of other bytes"),
        (None, "none", "got none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_configuration_tells_the_state_of_the_card(
    changes: dict[str, Any] | None, state: str, warning: str | None, whole_bundle: Bundle, tmp_path: Path
) -> None:
    cards = () if changes is None else (card_of(whole_bundle, **changes),)
    manifest = whole_bundle.manifest.model_copy(update={"cards": cards})
    bundle = write_bundle(tmp_path / "carded", manifest, {NAME: whole_bundle.read_artifact()})
    export_repository(TritonRequest(bundle=bundle.path, out=tmp_path / "triton"))
    held = read(tmp_path / "triton")["capgan-fp32-onnx"]["parameters"]
    assert held["capgan_card"] == {"string_value": state}
    assert state in (tmp_path / "triton" / "README.md").read_text()
    said = held.get("capgan_card_warning", {}).get("string_value")
    assert said is None if warning is None else warning in said


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "é"])
def test_a_name_that_is_no_directorys_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected a name of letters"):
        TritonConfig(name=name)


def test_the_command_says_what_it_wrote(
    whole_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "triton"
    assert main(["export-triton", str(whole_bundle.path), "-o", str(out), "--json"], TRITON) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["models"][0]["name"]) == (str(out), "capgan-fp32-onnx")
    assert main(["export-triton", str(whole_bundle.path), "-o", str(out)], TRITON) == 1
    assert "expected nothing or an empty directory" in capsys.readouterr().err
    assert main(["export-triton", str(whole_bundle.path), "-o", str(out), "--artifact", "x"], TRITON) == 1
