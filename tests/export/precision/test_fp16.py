"""The FP16 graph: norms and pixels in FP32, convolutions in FP16, the same contract, and engines build from it."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from written_graph import float_types, small_graph, types_of

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.precision.fp16 import fp16_from_fp32
from capgan_export.precision.kept import HEAVY_WEIGHT

FP32, FP16 = TensorProto.FLOAT, TensorProto.FLOAT16


def converted(fp32_bytes: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(fp16_from_fp32(fp32_bytes).model_bytes)


def test_every_norm_is_in_fp32_and_every_convolution_in_fp16(fp32_bytes: bytes) -> None:
    model = converted(fp32_bytes)
    types = types_of(model)
    norms = [n for n in model.graph.node if "Normalization" in n.op_type or re.search(r"norm\d*/", n.name)]
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    assert norms
    assert {n.name: float_types(n, types) for n in norms} == {n.name: {FP32} for n in norms}
    assert {n.name: float_types(n, types) for n in convs} == {n.name: {FP16} for n in convs}


def test_no_value_between_the_nodes_of_adalin_passes_through_fp16(paper_bundle: Bundle) -> None:
    model = converted(paper_bundle.read_artifact())
    maker = {name: node for node in model.graph.node for name in node.output}
    inside = [n for n in model.graph.node if "decoder_blocks.0.norm1/" in n.name]
    sources = {maker[name].name: maker[name].op_type for n in inside for name in n.input if name in maker}
    casts = [name for name, op in sources.items() if op == "Cast"]
    assert len(inside) > 15
    assert len(casts) == 3, "what enters the norm from outside: the convolution's output, gamma and beta"


def test_what_is_said_to_stay_is_what_stays(fp32_bytes: bytes) -> None:
    graph = fp16_from_fp32(fp32_bytes)
    model = onnx.load_model_from_string(graph.model_bytes)
    types = types_of(model)
    source_names = {node.name for node in onnx.load_model_from_string(fp32_bytes).graph.node}
    in_fp32 = {n.name for n in model.graph.node if n.name in source_names and float_types(n, types) == {FP32}}
    assert in_fp32 == {node.name for node in graph.kept}
    assert graph.num_nodes == len(source_names)


def test_no_cast_undoes_the_one_before_it_and_none_is_unread(fp32_bytes: bytes) -> None:
    model = converted(fp32_bytes)
    cast_of = {n.output[0]: n for n in model.graph.node if n.op_type == "Cast"}
    assert [n.name for n in cast_of.values() if n.input[0] in cast_of] == []
    read = {name for n in model.graph.node for name in n.input} | {output.name for output in model.graph.output}
    assert set(cast_of) <= read


def test_the_contract_is_kept(fp32_bytes: bytes) -> None:
    data = fp16_from_fp32(fp32_bytes).model_bytes
    model = onnx.load_model_from_string(data)
    with OrtRunner(data) as half, OrtRunner(fp32_bytes) as full:
        assert half.contract == full.contract
    assert [n.op_type for n in model.graph.node if "frames" in n.input] == ["Cast"]
    assert [n.op_type for n in model.graph.node if "purified" in n.output] == ["Cast"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert {entry.key: entry.value for entry in model.metadata_props}["precision"] == "fp16"
    onnx.checker.check_model(model, full_check=True)


def test_types_on_record_are_those_that_follow_from_the_graph(fp32_bytes: bytes) -> None:
    model = converted(fp32_bytes)
    on_record = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    del model.graph.value_info[:]
    types = types_of(model)
    assert on_record
    assert on_record == {name: types[name] for name in on_record}


def test_the_same_graph_gives_the_same_bytes_and_the_weights_halve(fp32_bytes: bytes) -> None:
    first, second = fp16_from_fp32(fp32_bytes), fp16_from_fp32(fp32_bytes)
    assert first == second

    def weight_bytes(data: bytes) -> int:
        tensors = onnx.load_model_from_string(data).graph.initializer
        return sum(numpy_helper.to_array(tensor).nbytes for tensor in tensors)

    assert weight_bytes(first.model_bytes) < 0.6 * weight_bytes(fp32_bytes)


def test_engines_build_from_it(fp32_bytes: bytes) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx to build an engine")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(fp16_from_fp32(fp32_bytes).model_bytes), parser.get_error(0).desc()
    convolutions = [network.get_layer(index) for index in range(network.num_layers)]
    convolutions = [layer for layer in convolutions if layer.type == trt.LayerType.CONVOLUTION]
    assert {layer.get_output(0).dtype for layer in convolutions} == {trt.float16}
    assert {network.get_output(index).dtype for index in range(network.num_outputs)} == {trt.float32, trt.uint8}
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    _, height, width, _ = network.get_input(0).shape
    profile.set_shape("frames", *((n, height, width, 3) for n in (1, 2, 4)))
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None


@pytest.mark.parametrize(
    ("constant", "weight"),
    [("", "float k = {0.1}"), ("k = Constant <value_float = 0.1> ()", "")],
    ids=["weight", "node"],
)
def test_a_constant_that_both_sides_read_reaches_the_fp32_side_unrounded(constant: str, weight: str) -> None:
    model = converted(small_graph(f"{constant}\n h = Mul (x, k)\n r = Relu (h)\n p = Pow (r, k)", weight))
    pow_node = next(node for node in model.graph.node if node.op_type == "Pow")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert weights[pow_node.input[1]] == np.float32(0.1)
    assert weights["k"] == np.float16(0.1)


def test_a_cast_to_integer_and_back_that_the_victim_makes_is_left_alone() -> None:
    body = "g = Mul (x, k)\n i = Cast <to = 7> (g)\n p = Cast <to = 1> (i)"
    frames_NHWC = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    source = small_graph(body, "float k = {0.3}")
    with OrtRunner(source) as full, OrtRunner(fp16_from_fp32(source).model_bytes) as half:
        np.testing.assert_allclose(half(frames_NHWC).logits_NK, full(frames_NHWC).logits_NK, rtol=1e-3)


def test_a_weight_beyond_fp16_keeps_its_node_in_fp32() -> None:
    source = small_graph("h = Mul (x, big)\n p = Mul (h, tiny)", "float big = {70000.0}, float tiny = {0.00001}")
    kept = {node.name: node.reason for node in fp16_from_fp32(source).kept}
    assert kept["h"] == HEAVY_WEIGHT
    assert "p" not in kept or kept["p"] != HEAVY_WEIGHT


def test_the_quantiser_can_be_imported_behind_the_converter() -> None:
    """Both take modules from one folder that the first of them puts on the path of imports."""
    code = "from capgan_export.precision import fp16; fp16._converter(); import onnxruntime.quantization"
    subprocess.run([sys.executable, "-c", code], check=True)


def _quantised() -> bytes:
    body = "q = QuantizeLinear (x, s, z)\n p = DequantizeLinear (q, s, z)"
    return small_graph(body, "float s = {0.1}, int8 z = {0}")


def _with_branch() -> bytes:
    model = onnx.load_model_from_string(small_graph("yes = Constant <value_ints = [1]> ()\n p = Relu (x)"))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["b"])], "branch", [], [out])
    cast = helper.make_node("Cast", ["yes"], ["is_yes"], to=TensorProto.BOOL)
    relu.CopyFrom(helper.make_node("If", ["is_yes"], ["p"], name="choice", then_branch=branch, else_branch=branch))
    model.graph.node.insert(2, cast)
    data: bytes = model.SerializeToString()
    return data


REFUSED = {
    "quantised": (_quantised, "got a quantised one"),
    "half already": (lambda: fp16_from_fp32(small_graph("p = Relu (x)")).model_bytes, "half precision already"),
    "control flow": (_with_branch, "without control flow, got choice"),
    "no graph": (lambda: b"not a graph", "that onnx refuses"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_fp32_graph_is_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(ArtifactError, match=said):
        fp16_from_fp32(make())
