"""Take out the casts that a converter left between two FP32 nodes, sort the graph, and infer its types anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def remove_cast_pairs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph without FP32 to FP16 to FP32, whose only effect is to round; nodes in order, types inferred.

    Only right behind a converter, on a graph that had no FP16 before: there no such pair is anyone's wish.
    """
    import onnx_ir as ir
    from onnx_ir.passes import common

    graph = ir.from_proto(model)
    common.TopologicalSortPass()(graph)  # types are inferred from front to back
    graph = ir.from_proto(_typed(ir.to_proto(graph)))
    for node in graph.graph:
        narrowed = node.inputs[0].producer() if _is_cast(node, ir.DataType.FLOAT) and node.inputs[0] else None
        if narrowed is None or not _is_cast(narrowed, ir.DataType.FLOAT16):
            continue
        source = narrowed.inputs[0]
        if source is not None and source.dtype == ir.DataType.FLOAT:
            _bypass(graph.graph, node.outputs[0], source)
    common.RemoveUnusedNodesPass()(graph)
    return _typed(ir.to_proto(graph))


def _is_cast(node: ir.Node, dtype: ir.DataType) -> bool:
    return node.op_type == "Cast" and node.attributes["to"].as_int() == dtype


def _bypass(graph: ir.Graph, value: ir.Value, source: ir.Value) -> None:
    """Let everything read `source` instead of `value`; an output of the graph keeps its name."""
    is_output = value.is_graph_output()
    name = value.name
    value.replace_all_uses_with(source, replace_graph_outputs=True)
    if is_output:
        value.name, source.name = f"{name}_unrounded", name


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the types and shapes that follow from it, and none that a pass left behind."""
    from onnx import shape_inference

    del model.graph.value_info[:]
    return shape_inference.infer_shapes(model, strict_mode=False)
