"""Merge a victim that came as an ONNX file behind the purifier, graph to graph: its nodes stay what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError
from capgan_export.fused import GraphOutputs

if TYPE_CHECKING:
    import onnx

    from capgan_edge.models.onnx_victim import OnnxVictim
    from capgan_edge.models.victims import Victim

_BATCH = "N"


def merge_victim(head: onnx.ModelProto, victim: Victim, outputs: GraphOutputs, *, opset: int) -> onnx.ModelProto:
    """Return `head` (a `PurifierGraph`) with the victim behind it, once more on the raw frames where these are wanted.

    Raises:
        ArtifactError: the victim's graph cannot be brought to the opset, or does not fit behind the purifier.
    """
    from onnx import compose

    from capgan_edge.models.onnx_victim import onnx_victim_from_bytes

    assert victim.onnx_model is not None
    name = str(victim.identity.get("name", "victim"))
    tail = onnx_victim_from_bytes(victim.onnx_model, name)
    converted = _at_opset(tail, name, opset, head.ir_version)
    wanted = [("victim/", "image", "logits")] + (
        [("raw_victim/", "scaled", "raw_logits")] if outputs.has_raw_logits else []
    )
    merged = head
    try:
        for prefix, source, _ in wanted:
            kept = [output.name for output in merged.graph.output if output.name != source]
            merged = compose.merge_models(
                merged,
                compose.add_prefix(converted, prefix),
                io_map=[(source, prefix + tail.input_name)],
                outputs=[*kept, prefix + tail.output_name],
            )
    except Exception as error:  # onnx's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{name}: expected an ONNX victim that fits behind the purifier, but: {detail}; export the victim again "
            f"with opset {opset}"
        ) from error
    del merged.opset_import[:]
    merged.opset_import.add(domain="", version=opset)
    _rename_values(merged.graph, {prefix + tail.output_name: final for prefix, _, final in wanted})
    _share_equal_weights(merged.graph)
    _set_outputs(merged.graph, outputs.names, tail.num_classes)
    return merged


def _at_opset(tail: OnnxVictim, name: str, opset: int, ir_version: int) -> onnx.ModelProto:
    """Return the victim's graph at the opset with its convolutions' batch norms folded."""
    from onnx import version_converter
    from onnxscript import rewriter

    came = next((entry.version for entry in tail.model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    foreign = sorted({node.domain for node in tail.model.graph.node} - {"", "ai.onnx"})
    if foreign:
        raise ArtifactError(
            f"{name}: expected an ONNX victim of standard ops, got ops of {', '.join(foreign)}; export it without that "
            "tool's fusions (ONNX Runtime's optimised files do not travel)"
        )
    try:
        model = tail.model if came == opset else version_converter.convert_version(tail.model, opset)
        model = rewriter.rewrite(model)
    except Exception as error:  # the converter raises what it likes
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{name}: expected an ONNX victim that converts from opset {came} to {opset}, but: {detail}; "
            f"export it with opset {opset}"
        ) from error
    model.ir_version = ir_version
    del model.opset_import[:]
    model.opset_import.add(domain="", version=opset)
    _name_unnamed(model.graph)
    return model


def _name_unnamed(graph: onnx.GraphProto) -> None:
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"


def _rename_values(graph: onnx.GraphProto, new_name_of: dict[str, str]) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new_name_of.get(name, name)
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                _rename_values(inner, new_name_of)
    for value in (*graph.output, *graph.value_info):
        value.name = new_name_of.get(value.name, value.name)


def _share_equal_weights(graph: onnx.GraphProto) -> None:
    """Keep one of several equal initialisers: the victim that runs twice has its weights once."""
    first_of: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    new_name_of: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        content = type(tensor)()
        content.CopyFrom(tensor)
        content.name = ""
        key = (tensor.data_type, tuple(tensor.dims), content.SerializeToString(deterministic=True))
        if key in first_of:
            new_name_of[tensor.name] = first_of[key]
        else:
            first_of[key] = tensor.name
            kept.append(tensor)
    copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    _rename_values(graph, new_name_of)


def _set_outputs(graph: onnx.GraphProto, names: tuple[str, ...], num_classes: int) -> None:
    """Order the outputs as the contract does, and call the victim's free dimension as ours."""
    held = {output.name: output for output in graph.output}
    ordered = []
    for name in names:
        output = type(held[name]).FromString(held[name].SerializeToString())
        if name in ("logits", "raw_logits"):
            dims = output.type.tensor_type.shape.dim
            dims[0].dim_param, dims[1].dim_value = _BATCH, num_classes
        ordered.append(output)
    del graph.output[:]
    graph.output.extend(ordered)
    del graph.value_info[:]  # the victim's own name for N would contradict; shapes follow from the graph
