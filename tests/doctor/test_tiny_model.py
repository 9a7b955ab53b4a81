"""The graph that the doctor runs is three known nodes: made again with onnx, it is the same bytes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from capgan_edge.doctor.tiny_model import FRAMES, RESULT, TINY_MODEL


def make_tiny_model() -> bytes:
    """Return what `TINY_MODEL` holds in hex: `make_tiny_model().hex()`."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["y"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def test_the_bytes_are_the_graph_that_they_are_said_to_be() -> None:
    assert onnx.load_from_string(TINY_MODEL) == onnx.load_from_string(make_tiny_model())
    assert float((np.array(FRAMES, np.float32) ** 2).max()) == RESULT
