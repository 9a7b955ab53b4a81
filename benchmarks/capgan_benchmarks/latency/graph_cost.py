"""What a graph costs, counted from the file: multiply-accumulates by kind of operand, and bytes that layers move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOAT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 4}
"""Of what is not quantised, by the precision that computes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphCost:
    """Of one query."""

    float_macs: int
    int8_macs: int
    """Between operands that come from Q/DQ nodes."""
    moved_bytes: int
    """Weights once, and every layer's input and output: what a run moves that fuses all between layers and keeps
    nothing in the caches."""


def cost_of_graph(model_bytes: bytes, *, batch: int, precision: str, has_int8_kernels: bool = True) -> GraphCost:
    """Count one query of `batch` frames; an engine without INT8 kernels multiplies in FP32 what Q/DQ nodes rounded."""
    model, shapes = _with_shapes(model_bytes, batch)
    quantised = {name for node in model.graph.node for name in node.output
                 if has_int8_kernels and node.op_type == "DequantizeLinear"}  # fmt: skip
    macs, moved_bytes, float_bytes = {True: 0, False: 0}, 0, _FLOAT_BYTES[precision]
    for node in model.graph.node:
        if node.op_type not in _LAYERS:
            continue
        is_int8 = quantised.issuperset(node.input[:2])
        macs[is_int8] += _macs(node, shapes)
        size_bytes = 1 if is_int8 else float_bytes
        moved_bytes += sum(size_bytes * math.prod(shapes[name]) for name in (*node.input[:2], node.output[0]))
    return GraphCost(float_macs=macs[False], int8_macs=macs[True], moved_bytes=moved_bytes)


def macs_by_node(model_bytes: bytes, *, batch: int) -> dict[str, int]:
    """Return what each layer multiplies in a query of `batch` frames, by the name of its node."""
    model, shapes = _with_shapes(model_bytes, batch)
    return {node.name: _macs(node, shapes) for node in model.graph.node if node.op_type in _LAYERS}


def _with_shapes(model_bytes: bytes, batch: int) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    import onnx
    from onnx import shape_inference

    model = onnx.load_model_from_string(model_bytes)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model, _shapes(shape_inference.infer_shapes(model, data_prop=True).graph)


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    held = {each.name: tuple(each.dims) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        held[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    return held


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return what the node multiplies: each element of the output once for every weight that it depends on."""
    given, weight, made = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(given) * math.prod(weight[1:])
    return math.prod(made) * given[-1]
