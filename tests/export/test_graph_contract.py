"""The exported graph is the one that the architecture promises, and holds nothing of the machine that made it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import FusedGraph, GraphOutputs
from capgan_export.norms import foldable_batch_norms
from capgan_export.onnx_graph import graph_from_pair


@pytest.fixture(scope="module")
def model(whole_bundle: Bundle) -> onnx.ModelProto:
    return onnx.load_model_from_string(whole_bundle.read_artifact())


def test_inputs_and_outputs_are_those_of_the_contract(whole_bundle: Bundle) -> None:
    with OrtRunner(whole_bundle.read_artifact()) as runner:
        assert runner.contract.output_names == ("logits", "suspicion", "purified", "raw_logits")
        assert (runner.contract.size_px, runner.contract.num_classes) == (SIZE_PX, len(LABELS))


def test_cast_is_first_on_the_frames_and_last_before_uint8(model: onnx.ModelProto) -> None:
    assert [node.op_type for node in model.graph.node if "frames" in node.input] == ["Cast"]
    assert [node.op_type for node in model.graph.node if "purified" in node.output] == ["Cast"]


def test_the_opset_is_20_and_no_batch_norm_is_left_that_folds(model: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert foldable_batch_norms(model) == []
    norms = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert norms, "the victim's pre-activation norms have no convolution before them"
    assert all(name.startswith("victim.") for name in norms)


def test_nodes_have_the_names_of_their_modules(model: onnx.ModelProto) -> None:
    names = [node.name for node in model.graph.node]
    assert len(names) == len(set(names))
    assert {"purifier.stem.conv.0/Conv", "purifier.attention.mix/Conv", "victim.head/Gemm"} <= set(names)


def test_no_metadata_of_the_exporter_or_the_machine_is_left(whole_bundle: Bundle, model: onnx.ModelProto) -> None:
    assert {entry.key: entry.value for entry in model.metadata_props} == {"preset": "custom", "precision": "fp32"}
    assert model.producer_name == "capgan-edge"
    data = whole_bundle.read_artifact()
    for trace in (b"stack_trace", b"pkg.torch", b'.py"', b"site-packages", b"/home/", __file__.encode()):
        assert trace not in data


def test_the_same_weights_give_the_same_bytes(whole_bundle: Bundle) -> None:
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)
    again = graph_from_pair(make_purifier(), make_victim(), size_px=SIZE_PX, outputs=outputs,
                            properties={"preset": "custom", "precision": "fp32"})  # fmt: skip
    assert again == whole_bundle.read_artifact()


def test_every_output_equals_eager_torch_and_purified_is_rounded(whole_bundle: Bundle) -> None:
    frames_NHWC = make_frames(9).images_NHWC
    fused = FusedGraph(
        make_purifier(), make_victim().torch_module(), GraphOutputs(has_purified=True, has_raw_logits=True)
    )
    with OrtRunner(whole_bundle.read_artifact()) as runner, torch.no_grad():
        got = runner(frames_NHWC)
        logits, suspicion, purified, raw = (tensor.numpy() for tensor in fused(torch.from_numpy(frames_NHWC)))
        image = fused.purifier(torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2) / 255).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(got.logits_NK, logits, atol=1e-4)
    np.testing.assert_allclose(got.suspicion_N, suspicion, atol=1e-5)
    assert got.raw_logits_NK is not None
    np.testing.assert_allclose(got.raw_logits_NK, raw, atol=1e-4)
    assert got.purified_NHWC is not None
    assert np.abs(got.purified_NHWC.astype(int) - purified).max() <= 1
    assert np.abs(got.purified_NHWC / 255 - image).max() <= 0.5 / 255 + 1e-4


def test_suspicion_is_the_sigmoid_of_the_mean_domain_logit(whole_bundle: Bundle) -> None:
    frames_NHWC = make_frames(3).images_NHWC
    with torch.no_grad():
        x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2) / 255
        domain_NJ = make_purifier().translate(x_NCHW).domain_logits_BJ
    with OrtRunner(whole_bundle.read_artifact()) as runner:
        np.testing.assert_allclose(runner(frames_NHWC).suspicion_N, domain_NJ.mean(1).sigmoid().numpy(), atol=1e-5)


def test_a_size_that_the_purifier_cannot_halve_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiples of 4, got 18x16"):
        graph_from_pair(make_purifier(), make_victim(), size_px=(18, 16), outputs=GraphOutputs(), properties={})
