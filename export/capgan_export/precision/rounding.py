"""A twin of an FP16 graph that ONNX Runtime cannot run in FP32.

On the CPU ONNX Runtime runs an FP16 node in FP32 and drops the casts between two such nodes, so that nothing rounds and
nothing overflows. What an FP16 engine does is then neither measured nor probed. The twin sends every FP16 value through
two nodes that run in FP16 anywhere and change nothing: there it has to become FP16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_AXES = "rounding_axes"
ROUNDED = "each FP16 value rounded behind its node, sums inside a node in FP32"
"""What records say of the twin's arithmetic."""


def rounded_twin(model_bytes: bytes) -> bytes:
    """Return the graph with every FP16 value rounded after the node that makes it; others stay as they are.

    Sums inside one node stay in FP32, as on tensor cores.
    """
    import onnx
    from onnx import shape_inference

    model = shape_inference.infer_shapes(onnx.load_model_from_string(model_bytes))
    insert_rounding(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def has_fp16(model_bytes: bytes) -> bool:
    """Whether the graph makes FP16 values, so that its twin is another graph."""
    import onnx
    from onnx import shape_inference

    return bool(_halves(shape_inference.infer_shapes(onnx.load_model_from_string(model_bytes))))


def insert_rounding(model: onnx.ModelProto) -> dict[str, str]:
    """Round every FP16 value that a node makes, in a graph whose types are inferred.

    Returns:
        the name of each rounded value, with the name of the node that makes it.
    """
    from onnx import TensorProto, helper

    halves = _halves(model)
    nodes: list[onnx.NodeProto] = []
    maker_of: dict[str, str] = {}
    rounded: dict[str, str] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = rounded.get(name, name)
        nodes.append(node)
        for name in filter(halves.__contains__, node.output):
            new = rounded[name] = f"{name}_rounded"
            maker_of[new] = node.name
            nodes.append(helper.make_node("Unsqueeze", [name, _AXES], [f"{name}_in_fp16"], name=f"{new}/Unsqueeze"))
            nodes.append(helper.make_node("Squeeze", [f"{name}_in_fp16", _AXES], [new], name=f"{new}/Squeeze"))
    if rounded:
        model.graph.initializer.append(helper.make_tensor(_AXES, TensorProto.INT64, [1], [0]))
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    del model.graph.value_info[:]
    return maker_of


def _halves(model: onnx.ModelProto) -> set[str]:
    """Return the FP16 values that nodes make."""
    from onnx import TensorProto

    return {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
