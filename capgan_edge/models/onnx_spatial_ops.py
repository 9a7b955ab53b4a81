"""ONNX ops over height and width in torch: convolution, pooling, padding; and the error for what does not convert."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from capgan_edge.errors import ConfigError

Inputs = Sequence[Any]
Attributes = Mapping[str, Any]


def conv(i: Inputs, a: Attributes) -> Tensor:
    x, weight = i[0], i[1]
    bias = i[2] if len(i) > 2 else None
    if weight.dim() != 4:
        raise unsupported("Conv", f"a kernel of {weight.dim() - 2} dimensions")
    stride, dilation = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    x, padding = _padded(x, a, list(weight.shape[2:]), stride, dilation, 0.0)
    return F.conv2d(x, weight, bias, stride, padding, dilation, a.get("group", 1))


def max_pool(i: Inputs, a: Attributes) -> Tensor:
    kernel, stride, dilation = a["kernel_shape"], a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    x, padding = _padded(i[0], a, kernel, stride, dilation, -math.inf)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise unsupported("MaxPool", "padding of more than half its kernel")
    return F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode=bool(a.get("ceil_mode")))


def average_pool(i: Inputs, a: Attributes) -> Tensor:
    kernel, stride = a["kernel_shape"], a.get("strides", [1, 1])
    is_padding_counted = bool(a.get("count_include_pad"))
    x, padding = _padded(i[0], a, kernel, stride, [1, 1], 0.0)
    if x is not i[0] and not is_padding_counted:
        raise unsupported("AveragePool", "uneven padding that is not counted")
    return F.avg_pool2d(x, kernel, stride, padding, bool(a.get("ceil_mode")), is_padding_counted)


def pad(i: Inputs, a: Attributes) -> Tensor:
    x, mode = i[0], a.get("mode", "constant")
    given = i[1].tolist() if len(i) > 1 else a["pads"]
    axes = i[3].tolist() if len(i) > 3 and i[3] is not None else range(x.dim())
    before, after = [0] * x.dim(), [0] * x.dim()
    for k, axis in enumerate(axes):
        before[axis], after[axis] = given[k], given[k + len(given) // 2]
    if mode != "constant":
        if any(before[:2]) or any(after[:2]) or mode not in ("reflect", "edge"):
            raise unsupported("Pad", f"mode {mode} there")
        return F.pad(x, (before[3], after[3], before[2], after[2]), mode="replicate" if mode == "edge" else mode)
    value = float(i[2]) if len(i) > 2 and i[2] is not None else a.get("value", 0.0)
    flat = [size for axis in reversed(range(x.dim())) for size in (before[axis], after[axis])]
    return F.pad(x, flat, value=value)


def _padded(
    x: Tensor, a: Attributes, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], value: float
) -> tuple[Tensor, list[int]]:
    """Return the input and the symmetric padding that is left to the op; uneven padding is done here."""
    mode = a.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same_pads(x, kernel, stride, dilation, is_upper=mode == "SAME_UPPER")
    else:
        pads = [0] * 4 if mode == "VALID" else list(a.get("pads", [0] * 4))
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, [top, left]
    return F.pad(x, (left, right, top, bottom), value=value), [0, 0]


def _same_pads(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], *, is_upper: bool
) -> list[int]:
    before, after = [], []
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        total = max((math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        before.append(small if is_upper else large)
        after.append(large if is_upper else small)
    return before + after


class UnconvertibleError(ConfigError):
    """An ONNX op, or a setting of it, has no counterpart in torch."""

    def __init__(self, op: str) -> None:
        self.op = op
        super().__init__(
            f"expected an ONNX victim whose ops all convert to torch, got {op}; this ONNX victim can be exported and "
            "run, but not used in training: give the model as module:factory or a .pt2 file"
        )


def unsupported(op_type: str, what: str) -> UnconvertibleError:
    """Return the error for a setting of an op."""
    return UnconvertibleError(f"{op_type} with {what}")
