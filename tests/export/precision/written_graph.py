"""Graphs of a few nodes that keep the graph contract, written as text; and what is asked of any graph."""

from __future__ import annotations

import onnx
from onnx import TensorProto, parser, shape_inference

HEAD = """
<ir_version: 10, opset_import: ["" : 20]>
small (uint8[N, 4, 4, 3] frames) => (float[N, 3] logits, float[N] suspicion)
"""


def small_graph(body: str, weights: str = "") -> bytes:
    """Return a graph; `body` makes `p` of `x`, float [N, 4, 4, 3], and logits and suspicion are means of `p`."""
    holds = f"<{weights}>" if weights else ""
    nodes = f"""{{
        x = Cast <to = 1> (frames)
        {body}
        height_and_width = Constant <value_ints = [1, 2]> ()
        classes = Constant <value_ints = [1]> ()
        logits = ReduceMean <keepdims = 0> (p, height_and_width)
        mean = ReduceMean <keepdims = 0> (logits, classes)
        suspicion = Sigmoid (mean)
    }}"""
    model = parser.parse_model(HEAD + holds + nodes)
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    data: bytes = model.SerializeToString()
    return data


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every value and weight, inferred anew."""
    inferred = shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def float_types(node: onnx.NodeProto, types: dict[str, int]) -> set[int]:
    """Return which of FP32 and FP16 the node takes and gives."""
    names = [name for name in (*node.input, *node.output) if name]
    return {types[name] for name in names} & {TensorProto.FLOAT, TensorProto.FLOAT16}
