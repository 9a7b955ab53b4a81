"""ONNX's quantisation, and its nearest resize, in torch: rounding forward, straight through backward.

Shapes: C channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    Op = Callable[[Sequence[Any], Mapping[str, Any]], Tensor]

_REMEDY = "use artifact-query, which needs the artifact's outputs alone"


def rounded_straight_through(x: Tensor) -> Tensor:
    """Return the nearest whole numbers, ties to even as ONNX has it; the gradient is that of `x`."""
    return x.round().detach() + (x - x.detach())  # x - x is 0, so that the forward pass is exact


def quantize_linear(i: Sequence[Any], a: Mapping[str, Any]) -> Tensor:
    """Return whole levels as floats; what is clipped has no gradient, as what ships is flat there."""
    import torch

    zero_point = i[2] if len(i) > 2 else torch.zeros((), dtype=torch.uint8)
    if zero_point.dtype not in (torch.int8, torch.uint8):
        raise unconvertible(f"QuantizeLinear to {zero_point.dtype}")
    limits, axis = torch.iinfo(zero_point.dtype), _axis(a, i[0])
    scaled = i[0] / _along(i[1], i[0], axis)
    return (rounded_straight_through(scaled) + _along(zero_point.float(), i[0], axis)).clamp(limits.min, limits.max)


def dequantize_linear(i: Sequence[Any], a: Mapping[str, Any]) -> Tensor:
    """Return the values of whole levels, of activations (floats here) or of stored weights (integers)."""
    axis = _axis(a, i[0])
    levels: Tensor = i[0].float()
    if len(i) > 2:
        levels = levels - _along(i[2].float(), levels, axis)
    return levels * _along(i[1], levels, axis)


def resize(i: Sequence[Any], a: Mapping[str, Any]) -> Tensor:
    """Repeat each pixel a whole number of times, which is all that the purifier's decoder does."""
    scales = i[2].tolist() if len(i) > 2 and i[2] is not None else []
    is_repeat = (
        a.get("mode", "nearest") == "nearest"
        and a.get("nearest_mode") == "floor"
        and a.get("coordinate_transformation_mode") == "asymmetric"
        and len(scales) == 4
        and scales[:2] == [1, 1]
        and all(scale == int(scale) and scale >= 1 for scale in scales)
    )
    if not is_repeat:
        raise unconvertible("Resize other than repeating pixels")
    repeated: Tensor = i[0].repeat_interleave(int(scales[2]), 2).repeat_interleave(int(scales[3]), 3)
    return repeated


def unconvertible(what: str) -> ConfigError:
    """Return the error for an op, or a setting of one, that has no counterpart in torch."""
    return ConfigError(f"expected an INT8 graph whose ops all have a torch twin, got {what}; {_REMEDY}")


QUANTISED_OPS: Mapping[str, Op] = {
    "QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear, "Resize": resize,
}  # fmt: skip


def _axis(a: Mapping[str, Any], x: Tensor) -> int:
    if a.get("block_size"):
        raise unconvertible("scales in blocks")
    return int(a.get("axis", 1)) % max(x.dim(), 1)


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return one value for all of `x`, or one for each place along the axis, so that it broadcasts."""
    if values.dim() == 0 or values.numel() == 1:
        return values.reshape(())
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.reshape(shape)
