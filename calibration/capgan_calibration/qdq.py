"""INT8 from FP32: quantise and dequantise around the inputs and the weights of layers, by ONNX Runtime's quantiser.

Symmetric, zero point 0; weights are stored as INT8 with a scale for each output channel, activations have one scale a
tensor. Outputs, biases and all else stay in floating point, so that residual additions and normalisations see what
they saw before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from capgan_calibration.graph_bytes import bytes_from_model, model_from_bytes
from capgan_calibration.layers import OPS, KeptLayer, Layer, find_layers, select_layers
from capgan_calibration.ranges import Ranges
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    import onnx

Rest = Literal["fp32", "fp16"]
"""The precision of all that is not INT8. FP32 runs everywhere; FP16 is what TensorRT is fast in, and what ONNX Runtime
on a CPU converts back and forth."""
_SPLIT = "/quantised_input"
"""Ends the name of a value that one layer alone reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Graph:
    """The graph with Q/DQ, and what became of each layer."""

    model_bytes: bytes
    quantised: tuple[Layer, ...]
    kept: tuple[KeptLayer, ...]


def int8_from_fp32(
    model_bytes: bytes, ranges: Ranges, *, exclude: Sequence[str] = (), keep_ends: bool = True, rest: Rest = "fp32"
) -> Int8Graph:
    """Return the graph with INT8 layers; it takes and gives what it did.

    Args:
        model_bytes: the FP32 graph.
        ranges: of its layers' inputs, by node, as `measure_ranges` gives them.
        exclude: layers, or patterns of their names, that stay in floating point.
        keep_ends: let the first and the last layers of purifier and victim stay too.
        rest: the precision of what is not INT8; what FP16 cannot hold stays in FP32 as in the FP16 graph.

    Raises:
        ArtifactError: no ONNX, a broken or a quantised graph.
        ConfigError: a name in `exclude` fits no layer, no layer is left, or a layer has no range.
    """
    model = model_from_bytes(model_bytes)
    selection = select_layers(find_layers(model), exclude=exclude, keep_ends=keep_ends)
    nodes = {name for layer in selection.quantised for name in layer.nodes}
    missing = sorted(nodes - ranges.keys())
    if not nodes or missing:
        came = f"none for {missing[0]}" if missing else f"all {len(selection.kept)} left out"
        raise ConfigError(f"expected at least one layer to quantise, each with its range, got {came}; leave out fewer, "
                          "and measure ranges on the same graph")  # fmt: skip
    if rest not in get_args(Rest):
        raise ConfigError(f"expected the rest in fp32 or fp16, got {rest!r}; choose one of the two")
    quantised = _quantised(model if rest == "fp32" else _halved(model_bytes), nodes, ranges)
    return Int8Graph(model_bytes=bytes_from_model(quantised), quantised=selection.quantised, kept=selection.kept)


def _quantised(model: onnx.ModelProto, nodes: set[str], ranges: Ranges) -> onnx.ModelProto:
    from onnxruntime.quantization import QDQQuantizer, QuantType

    properties = {entry.key: entry.value for entry in model.metadata_props}
    _split_inputs(model, nodes)
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
               "AddQDQPairToWeight": False, "OpTypesToExcludeOutputQuantization": list(OPS)}  # fmt: skip
    quantizer = QDQQuantizer(model, True, False, QuantType.QInt8, QuantType.QInt8, _tensor_data(model, nodes, ranges),
                             sorted(nodes), [], list(OPS), options)  # fmt: skip
    quantizer.quantize_model()
    _join_inputs(quantizer.model.model.graph)
    quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    _stamp(result, properties | {"precision": "int8"})
    return result


def _halved(model_bytes: bytes) -> onnx.ModelProto:
    """Return the graph in FP16 as it is converted for itself; its nodes keep their names, so ranges still apply."""
    from capgan_export.precision.fp16 import fp16_from_fp32

    return model_from_bytes(fp16_from_fp32(model_bytes).model_bytes)


def _split_inputs(model: onnx.ModelProto, nodes: set[str]) -> None:
    """Give each of the nodes an input that it alone reads.

    ONNX Runtime's quantiser puts its pair before every reader of a value: a residual addition that reads what a
    convolution reads would be quantised with it, and TensorRT wants a pair a layer.
    """
    import onnx

    rewritten = []
    for node in model.graph.node:
        if node.name in nodes:
            own = node.name + _SPLIT
            rewritten.append(onnx.helper.make_node("Identity", [node.input[0]], [own], own))
            node.input[0] = own
        rewritten.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in rewritten]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    del model.graph.value_info[:]  # inferred anew, the new values too


def _join_inputs(graph: onnx.GraphProto) -> None:
    """Take the split out again: what was quantised is the value itself."""
    source_of = {node.output[0]: node.input[0] for node in graph.node if node.name.endswith(_SPLIT)}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = source_of.get(name, name)
    kept = [node for node in graph.node if not node.name.endswith(_SPLIT)]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.value_info[:]


def _tensor_data(model: onnx.ModelProto, nodes: set[str], ranges: Ranges) -> dict[str, Any]:
    from onnx import TensorProto
    from onnxruntime.quantization.calibrate import TensorData

    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    data = {}
    for node in model.graph.node:
        if node.name in nodes:  # a scale is of the type of the value it scales, which is its weight's
            limit = (np.float16 if node.input[1] in halves else np.float32)(ranges[node.name])
            data[node.input[0]] = TensorData(lowest=-limit, highest=limit)
    return data


def _stamp(model: onnx.ModelProto, properties: dict[str, str]) -> None:
    from capgan_export.metadata import replace_metadata

    del model.metadata_props[:]
    replace_metadata(model, properties)
