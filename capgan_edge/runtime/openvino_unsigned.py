"""INT8 graphs as x86 multiplies them: OpenVINO's copy of a graph gets unsigned activations of the same values.

TensorRT takes Q/DQ of signed values around zero and nothing else, and that is what the file holds. The INT8 products
of x86 are of unsigned activations by signed weights, and OpenVINO's way of bringing the one to the other is not exact:
on a processor with VNNI the signed graph of a purifier gave other logits and labels than its Q/DQ nodes say. Written as
unsigned around 128 it comes far nearer, in the same time: what is left is FP32 around the products that rounds
otherwise (`python -m capgan_benchmarks.unsigned_int8` measures both).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

_MIDDLE = 128
"""Zero point of the unsigned activations."""
_SIGNED_RANGE, _LEVELS = (-128.0, 127.0), 256


def with_unsigned_activations(model: Any) -> Any:
    """Rewrite every activation of an `openvino.Model` that is quantised around zero to [0, 255] around 128; return it.

    OpenVINO reads QuantizeLinear as FakeQuantize to [-128, 127] and Convert to int8, and DequantizeLinear as Convert to
    float, Subtract (the zero point, here 0) and Multiply. What looks otherwise (another zero point, FP16, a value that
    is read undequantised too) is left as it is: it means the same as before, by OpenVINO's own products.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize" and _range_of(node) == _SIGNED_RANGE and node.get_levels() == _LEVELS:
            _make_unsigned(node)
    model.validate_nodes_and_infer_types()
    return model


def _range_of(node: Any) -> tuple[float, float] | None:
    ends = [node.input_value(index).get_node() for index in (3, 4)]
    if any(end.get_type_name() != "Constant" or end.data.size != 1 for end in ends):
        return None
    return float(ends[0].data.item()), float(ends[1].data.item())


def _make_unsigned(quantise: Any) -> None:
    """Replace what a FakeQuantize feeds its readers by the same in unsigned, where all of them dequantise it."""
    ops = importlib.import_module("openvino.opset13")
    dequantisers = [_dequantiser(reader) for reader in _readers(quantise)]
    if not dequantisers or None in dequantisers:
        return
    given = [quantise.input_value(index) for index in range(3)]
    stored = ops.convert(ops.fake_quantize(*given, np.float32(0), np.float32(_LEVELS - 1), _LEVELS), "u8")
    stored.set_friendly_name(f"{quantise.get_friendly_name()}.unsigned")
    for subtract in filter(None, dequantisers):
        value = ops.subtract(ops.convert(stored, "f32"), np.float32(_MIDDLE))
        for reader in list(subtract.output(0).get_target_inputs()):
            reader.replace_source_output(value.output(0))


def _dequantiser(convert: Any) -> Any | None:
    """Return the Subtract of a zero point of 0 behind a Convert to int8; None where anything else comes."""
    if not _is_convert(convert, "i8"):
        return None
    to_float = _readers(convert)
    if len(to_float) != 1 or not _is_convert(to_float[0], "f32"):
        return None
    readers = _readers(to_float[0])
    is_only = len(readers) == 1 and readers[0].get_type_name() == "Subtract"
    return readers[0] if is_only and _is_zero(readers[0].input_value(1).get_node()) else None


def _is_zero(node: Any) -> bool:
    """Return whether a zero point, which may lie behind a Convert or be spread over a shape, is 0."""
    while node.get_type_name() in ("Convert", "Reshape", "Broadcast"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant" and not np.any(node.data))


def _is_convert(node: Any, element_type: str) -> bool:
    return bool(node.get_type_name() == "Convert" and node.get_output_element_type(0).get_type_name() == element_type)


def _readers(node: Any) -> list[Any]:
    return [target.get_node() for target in node.output(0).get_target_inputs()]
