"""The twin rounds and overflows as FP16 does, where ONNX Runtime on the CPU does neither."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from written_graph import small_graph, types_of

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.precision.fp16 import fp16_from_fp32
from capgan_export.precision.rounding import rounded_twin

FRAMES_NHWC = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)


def logits_of(data: bytes) -> np.ndarray:
    with OrtRunner(data, threads=1) as runner:
        return runner(FRAMES_NHWC).logits_NK


def test_the_twin_gives_what_numpy_gives_in_fp16() -> None:
    body = "a = Mul (x, k)\n b = Add (a, k)\n c = Div (b, d)\n p = Sigmoid (c)"
    half = fp16_from_fp32(small_graph(body, "float k = {0.3}, float d = {7.0}")).model_bytes
    x, k, d = FRAMES_NHWC.astype(np.float16), np.float16(0.3), np.float16(7)
    c = ((x * k) + k) / d
    p = (1 / (1 + np.exp(-c.astype(np.float32)))).astype(np.float16)
    wanted = p.astype(np.float32).mean(axis=(1, 2))
    assert x.dtype == c.dtype == np.float16
    np.testing.assert_allclose(logits_of(rounded_twin(half)), wanted, atol=1e-6)
    assert np.abs(logits_of(half) - wanted).max() > 1e-5, "ONNX Runtime alone rounds nothing, or the twin has no use"


def test_the_twin_overflows_where_onnx_runtime_alone_does_not() -> None:
    half = fp16_from_fp32(small_graph("h = Mul (x, k)\n p = Div (h, k)", "float k = {1000}")).model_bytes
    assert np.isfinite(logits_of(half)).all()
    assert np.isinf(logits_of(rounded_twin(half))[1]).all(), "95 times 1000 is beyond 65504"


def test_scalars_and_values_read_twice_are_rounded_too() -> None:
    body = "s = ReduceMax <keepdims = 0> (x)\n t = Div (s, d)\n u = Mul (x, t)\n p = Add (u, t)"
    half = fp16_from_fp32(small_graph(body, "float d = {7.0}")).model_bytes
    x = FRAMES_NHWC.astype(np.float16)
    t = x.max() / np.float16(7)
    wanted = (x * t + t).astype(np.float32).mean(axis=(1, 2))
    np.testing.assert_allclose(logits_of(rounded_twin(half)), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["whole_bundle", "paper_bundle"])
def test_every_fp16_value_of_a_graph_is_rounded_and_fp32_values_are_not(
    name: str, request: pytest.FixtureRequest
) -> None:
    bundle: Bundle = request.getfixturevalue(name)
    half = fp16_from_fp32(bundle.read_artifact("fp32")).model_bytes
    twin = onnx.load_model_from_string(rounded_twin(half))
    types = types_of(onnx.load_model_from_string(half))
    made = {name for node in onnx.load_model_from_string(half).graph.node for name in node.output}
    halves = {name for name in made if types[name] == TensorProto.FLOAT16}
    squeezed = {n.output[0].removesuffix("_rounded") for n in twin.graph.node if n.name.endswith("_rounded/Squeeze")}
    assert squeezed == halves
    assert len(halves) > 20
    read = {name for n in twin.graph.node if n.op_type != "Unsqueeze" for name in n.input}
    assert not read & halves, "only the rounding reads what is not rounded yet"


def test_an_fp32_graph_has_itself_for_a_twin() -> None:
    source = small_graph("p = Relu (x)")
    np.testing.assert_array_equal(logits_of(rounded_twin(source)), logits_of(source))
