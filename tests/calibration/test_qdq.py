"""Q/DQ as TensorRT wants it: symmetric, per channel on weights, before layers alone; and what it does to values."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import numpy_helper
from rtx import built_size
from small_graph import ENDS, MIDDLE, SIZE_PX, frames, small_bytes, small_model

from capgan_calibration.qdq import Int8Graph, int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner

AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}
"""Of the output channels, by op; a Gemm's follows from transB."""


@pytest.fixture(scope="module")
def ranges() -> dict[str, float]:
    return measure_ranges(small_bytes(), frames(), RangeConfig(method="minmax"))


@pytest.fixture(scope="module")
def graph(ranges: dict[str, float]) -> Int8Graph:
    return int8_from_fp32(small_bytes(), ranges, keep_ends=False)


def parsed(graph: Int8Graph) -> onnx.ModelProto:
    return onnx.load_model_from_string(graph.model_bytes)


def weights_of(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def makers_of(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def test_every_pair_is_int8_with_zero_point_zero_and_a_positive_scale(graph: Int8Graph) -> None:
    model = parsed(graph)
    held = weights_of(model)
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) == 10 * 3, "of each layer the input's two, and the weight's one"
    for node in pairs:
        scale, zero_point = held[node.input[1]], held[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        assert scale.dtype == np.float32
        assert (scale > 0).all()


def test_weights_have_a_scale_for_each_output_channel_along_the_axis_of_their_op(graph: Int8Graph) -> None:
    model, fp32 = parsed(graph), weights_of(small_model())
    held, makers = weights_of(model), makers_of(model)
    for layer in graph.quantised:
        node = next(node for node in model.graph.node if node.name == layer.nodes[0])
        pair = makers[node.input[1]]
        is_transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = AXIS.get(node.op_type, 0 if is_transposed else 1)
        stored, scale = held[pair.input[0]], held[pair.input[1]]
        assert next(a.i for a in pair.attribute if a.name == "axis") == axis, layer.name
        assert stored.dtype == np.int8
        assert scale.shape == (stored.shape[axis],)
        others = tuple(index for index in range(stored.ndim) if index != axis)
        np.testing.assert_allclose(scale, np.abs(fp32[layer.weight]).max(axis=others) / 127, rtol=1e-5)


def test_weights_are_within_half_a_step(graph: Int8Graph) -> None:
    model, fp32 = parsed(graph), weights_of(small_model())
    held, makers = weights_of(model), makers_of(model)
    for layer in graph.quantised:
        node = next(node for node in model.graph.node if node.name == layer.nodes[0])
        pair = makers[node.input[1]]
        shape = [1] * fp32[layer.weight].ndim
        shape[next(a.i for a in pair.attribute if a.name == "axis")] = -1
        scale = held[pair.input[1]].reshape(shape)
        assert (np.abs(held[pair.input[0]] * scale - fp32[layer.weight]) <= scale / 2 * (1 + 1e-5)).all()


def test_only_the_inputs_of_layers_are_quantised(graph: Int8Graph) -> None:
    """The residual addition reads the very value that a convolution reads quantised."""
    fp32 = {node.name: list(node.input) for node in small_model().graph.node}
    quantised = {name for layer in graph.quantised for name in layer.nodes}
    for node in parsed(graph).graph.node:
        if node.name in fp32 and node.name not in quantised:
            assert list(node.input) == fp32[node.name], node.name
    makers = makers_of(parsed(graph))
    for node in parsed(graph).graph.node:
        if node.name in quantised:
            pair = makers[node.input[0]]
            assert pair.op_type == "DequantizeLinear"
            assert makers[pair.input[0]].input[0] == fp32[node.name][0]


def test_biases_and_layers_left_out_stay_as_they_are(ranges: dict[str, float]) -> None:
    graph = int8_from_fp32(small_bytes(), ranges, exclude=["purifier.b/*"])
    fp32 = {node.name: node for node in small_model().graph.node}
    held, before = weights_of(parsed(graph)), weights_of(small_model())
    for node in parsed(graph).graph.node:
        if node.name in {*ENDS, "purifier.b/Conv"}:
            assert (list(node.input), list(node.output)) == (list(fp32[node.name].input), list(fp32[node.name].output))
            np.testing.assert_array_equal(held[node.input[1]], before[node.input[1]])
        if node.name == "purifier.a/Conv":
            np.testing.assert_array_equal(held[node.input[2]], before["a.b"])
    assert {kept.name for kept in graph.kept} == {*ENDS, "purifier.b/Conv"}
    assert {layer.name for layer in graph.quantised} == {*MIDDLE} - {"purifier.b/Conv"}


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, 16, elements=st.floats(-20, 20, width=32)), st.floats(0.125, 16, width=32))
def test_a_value_within_its_range_moves_by_at_most_half_a_step_and_beyond_it_is_clipped(
    x_N: NDArray[np.float32], limit: float
) -> None:
    model = parsed(int8_from_fp32(small_bytes(), dict.fromkeys((*MIDDLE, *ENDS), limit)))
    pair = makers_of(model)[next(n for n in model.graph.node if n.name == "purifier.a/Conv").input[0]]
    nodes = [makers_of(model)[pair.input[0]], pair]
    scales = [tensor for tensor in model.graph.initializer if tensor.name in pair.input]
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [16]) for name in (nodes[0].input[0], pair.output[0]))
    alone = onnx.helper.make_model(onnx.helper.make_graph(nodes, "pair", [x], [y], scales),
                                   opset_imports=model.opset_import, ir_version=10)  # fmt: skip
    session = onnxruntime.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    (moved_N,) = session.run(None, {x.name: x_N})
    step = limit / 127
    is_within_N = np.abs(x_N) <= limit
    assert (np.abs(moved_N - x_N)[is_within_N] <= step / 2 * (1 + 1e-4)).all()
    beyond_N = moved_N[~is_within_N]
    assert ((np.abs(beyond_N) >= limit * (1 - 1e-4)) & (np.abs(beyond_N) <= limit + step * (1 + 1e-4))).all()
    assert (np.sign(beyond_N) == np.sign(x_N[~is_within_N])).all()


def test_the_graph_keeps_its_contract_and_its_answers(graph: Int8Graph) -> None:
    with OrtRunner(small_bytes()) as fp32, OrtRunner(graph.model_bytes) as int8:
        assert int8.contract == fp32.contract
        for n in (1, 7):
            wanted, got = fp32(frames(n)), int8(frames(n))
            largest = np.abs(wanted.logits_NK).max()
            assert np.abs(got.logits_NK - wanted.logits_NK).max() < 0.05 * largest
            assert (got.logits_NK != wanted.logits_NK).any(), "INT8 rounds"


def test_nothing_is_printed(ranges: dict[str, float], capfd: pytest.CaptureFixture[str]) -> None:
    for rest in ("fp32", "fp16"):
        int8_from_fp32(small_bytes(), ranges, rest=rest)  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


def test_a_weight_of_zeros_stays_zero(ranges: dict[str, float]) -> None:
    model = small_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "a.w")
    values = numpy_helper.to_array(weight).copy()
    values[2] = 0
    weight.CopyFrom(numpy_helper.from_array(values, "a.w"))
    held = weights_of(parsed(int8_from_fp32(model.SerializeToString(), ranges)))
    assert not held["a.w_quantized"][2].any()
    assert (held["a.w_scale"] > 0).all()


def test_the_same_graph_gives_the_same_bytes_and_says_its_precision(graph: Int8Graph, ranges: dict[str, float]) -> None:
    assert int8_from_fp32(small_bytes(), ranges, keep_ends=False).model_bytes == graph.model_bytes
    assert {entry.key: entry.value for entry in parsed(graph).metadata_props} == {
        "preset": "small",
        "precision": "int8",
    }
    assert len(graph.model_bytes) < 2**20


@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_tensorrt_builds_every_op(rest: str, ranges: dict[str, float]) -> None:
    graph = int8_from_fp32(small_bytes(), ranges, keep_ends=False, rest=rest)  # type: ignore[arg-type]
    assert built_size(graph.model_bytes, SIZE_PX) > 0


@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_tensorrt_builds_the_packaged_pair(rest: str, signs_bundle: Bundle) -> None:
    model_bytes = signs_bundle.read_artifact()
    drawn = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    held = measure_ranges(model_bytes, drawn, RangeConfig(method="minmax"))
    graph = int8_from_fp32(model_bytes, held, rest=rest)  # type: ignore[arg-type]
    assert built_size(graph.model_bytes, (32, 32)) > 0


@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_tensorrt_builds_norms_and_adalin_beside_int8(rest: str, paper_bytes: bytes) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    held = measure_ranges(paper_bytes, drawn, RangeConfig(method="minmax"))
    graph = int8_from_fp32(paper_bytes, held, rest=rest)  # type: ignore[arg-type]
    quantised = {layer.op for layer in graph.quantised}
    assert quantised == {"Conv", "Gemm"}
    ends = {kept.name.split("/")[0] for kept in graph.kept}
    assert {"purifier.stem.conv.1", "purifier.end.1", "victim.stem", "victim.head"} <= ends
    assert built_size(graph.model_bytes, (16, 16)) > 0


def test_with_the_rest_in_fp16_scales_are_fp16_and_the_answers_stay(ranges: dict[str, float]) -> None:
    graph = int8_from_fp32(small_bytes(), ranges, rest="fp16")
    held = weights_of(parsed(graph))
    scales = [held[node.input[1]] for node in parsed(graph).graph.node if node.op_type == "QuantizeLinear"]
    assert {scale.dtype for scale in scales} == {np.dtype(np.float16)}
    assert len(scales) == len(MIDDLE)
    with OrtRunner(small_bytes()) as fp32, OrtRunner(graph.model_bytes) as int8:
        wanted, got = fp32(frames(8)).logits_NK, int8(frames(8)).logits_NK
        assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted).max()


def test_what_is_no_graph_to_quantise_is_refused(ranges: dict[str, float], graph: Int8Graph) -> None:
    foreign = small_model()
    foreign.graph.initializer[3].data_location = onnx.TensorProto.EXTERNAL
    foreign.graph.initializer[3].external_data.add(key="location", value="weights.bin")
    cases = {b"no onnx": "expected an ONNX graph", small_bytes()[:-40]: "expected an ONNX graph", b"": "expected",
             foreign.SerializeToString(): "in other files", graph.model_bytes: "got one with"}  # fmt: skip
    for model_bytes, says in cases.items():
        with pytest.raises(ArtifactError, match=says) as error:
            int8_from_fp32(model_bytes, ranges)
        assert "\n" not in str(error.value)


def test_a_layer_without_a_range_and_nothing_left_to_quantise_are_refused(ranges: dict[str, float]) -> None:
    short = {node: limit for node, limit in ranges.items() if node != "victim.mid/MatMul"}
    with pytest.raises(ConfigError, match=r"got none for victim\.mid/MatMul"):
        int8_from_fp32(small_bytes(), short)
    with pytest.raises(ConfigError, match="got all 10 left out"):
        int8_from_fp32(small_bytes(), ranges, exclude=["*"])
    with pytest.raises(ConfigError, match="expected the rest in fp32 or fp16"):
        int8_from_fp32(small_bytes(), ranges, rest="fp8")  # type: ignore[arg-type]
