"""An ONNX victim merged behind the purifier gives what the same victim gives in torch."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.models.victims import Victim, load_victim
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs
from capgan_export.reference import session_of_victim


@pytest.fixture(scope="module")
def onnx_victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    path = tmp_path_factory.mktemp("victim") / "tiny.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(make_victim().torch_module(), (torch.zeros(2, 3, *SIZE_PX),), dynamo=True,
                                    opset_version=18, dynamic_shapes=({0: torch.export.Dim("batch")},),
                                    verbose=False)  # fmt: skip
    assert program is not None
    program.save(path)
    return load_victim(path)


def test_a_merged_victim_equals_the_torch_one(onnx_victim: Victim, whole_bundle: Bundle, tmp_path: Path) -> None:
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)
    bundle = export_pair(make_purifier(), onnx_victim, labels=LABELS, size_px=SIZE_PX, frames=make_frames(),
                         out=tmp_path / "b", outputs=outputs)  # fmt: skip
    frames_NHWC = make_frames(7).images_NHWC
    with OrtRunner(bundle.read_artifact()) as merged, OrtRunner(whole_bundle.read_artifact()) as traced:
        got, wanted = merged(frames_NHWC), traced(frames_NHWC)
    np.testing.assert_allclose(got.logits_NK, wanted.logits_NK, atol=1e-4)
    np.testing.assert_allclose(got.raw_logits_NK, wanted.raw_logits_NK, atol=1e-4)
    model = onnx.load_model_from_string(bundle.read_artifact())
    assert [entry.version for entry in model.opset_import] == [20]
    size, traced_size = len(bundle.read_artifact()), len(whole_bundle.read_artifact())
    assert size < 1.3 * traced_size, "the victim that runs twice has its weights once"


def test_a_victim_that_torch_cannot_run_is_exported_and_the_record_says_noise(tmp_path: Path) -> None:
    flat = [("GlobalAveragePool", "x", "g"), ("Flatten", "g", "f"), ("Mish", "f", "y")]
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, *SIZE_PX))
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 3))
    graph = helper.make_graph([helper.make_node(op, [a], [b]) for op, a, b in flat], "g", [takes], [gives])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "mish.onnx")
    victim = load_victim(tmp_path / "mish.onnx")
    bundle = export_pair(make_purifier(), victim, labels=LABELS[:3], size_px=SIZE_PX, frames=make_frames(),
                         out=tmp_path / "b")  # fmt: skip
    assert [record.frames for record in bundle.manifest.parity] == ["clean", "noisy"]
    assert "could not be attacked" in str(bundle.manifest.parity[1].settings["why"])
    assert bundle.manifest.victim.parameters is None


def test_a_victim_of_another_size_is_refused(onnx_victim: Victim, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="victim's size, 16x16 px, got 32x32"):
        export_pair(make_purifier(), onnx_victim, labels=LABELS, size_px=(32, 32), frames=make_frames(48, (32, 32)),
                    out=tmp_path / "b")  # fmt: skip


def test_a_victim_of_foreign_ops_is_refused(tmp_path: Path) -> None:
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, *SIZE_PX))
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 3))
    graph = helper.make_graph(
        [helper.make_node("FusedThing", ["x"], ["y"], domain="com.example")], "g", [takes], [gives]
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    victim = replace(make_victim(), module=None, onnx_model=model.SerializeToString(), num_classes=3, labels=None)
    with pytest.raises(ArtifactError, match=r"ops of com\.example"):
        export_pair(
            make_purifier(), victim, labels=LABELS[:3], size_px=SIZE_PX, frames=make_frames(), out=tmp_path / "b"
        )


def test_a_victims_own_file_reads_no_other_file_in_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.full(3, 42, np.float32).tofile("secret.bin")
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="secret.bin")
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3))
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 3))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [takes], [gives], [outside])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(ArtifactError, match="expected an ONNX victim that ONNX Runtime loads"):
        session_of_victim(model.SerializeToString())
