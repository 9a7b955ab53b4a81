"""What each ONNX op is in torch: the table that makes an ONNX classifier differentiable.

An entry takes the op's inputs (None where one is left out) and attributes, and returns its output, or a list of them.
Ops and attributes follow opsets 13 to 21; where an older opset had an attribute for today's input, both are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.models.onnx_spatial_ops import (
    Attributes,
    Inputs,
    average_pool,
    conv,
    max_pool,
    pad,
    unsupported,
)

Op = Callable[[Inputs, Attributes], "Tensor | list[Tensor]"]

_DTYPES = {1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool,
           10: torch.float16, 11: torch.float64}  # fmt: skip


def _gemm(i: Inputs, a: Attributes) -> Tensor:
    x, y = (i[0].T if a.get("transA") else i[0]), (i[1].T if a.get("transB") else i[1])
    product: Tensor = a.get("alpha", 1.0) * (x @ y)
    return product if len(i) < 3 or i[2] is None else product + a.get("beta", 1.0) * i[2]


def _batch_norm(i: Inputs, a: Attributes) -> Tensor:
    if a.get("training_mode"):
        raise unsupported("BatchNormalization", "training mode")
    x, scale, bias, mean, variance = i
    return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=a.get("epsilon", 1e-5))


def _instance_norm(i: Inputs, a: Attributes) -> Tensor:
    return F.instance_norm(i[0], weight=i[1], bias=i[2], eps=a.get("epsilon", 1e-5))


def _layer_norm(i: Inputs, a: Attributes) -> Tensor:
    axis = a.get("axis", -1) % i[0].dim()
    return F.layer_norm(i[0], i[0].shape[axis:], i[1], i[2] if len(i) > 2 else None, a.get("epsilon", 1e-5))


def _reduced(function: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Op:
    def op(i: Inputs, a: Attributes) -> Tensor:
        axes = i[1].tolist() if len(i) > 1 and i[1] is not None else a.get("axes")
        if not axes and a.get("noop_with_empty_axes"):
            held: Tensor = i[0]
            return held
        return function(i[0], tuple(axes or range(i[0].dim())), bool(a.get("keepdims", 1)))

    return op


def _clip(i: Inputs, a: Attributes) -> Tensor:
    low, high = (*i[1:], None, None)[:2]
    return torch.clamp(i[0], a.get("min") if low is None else low, a.get("max") if high is None else high)


def _flatten(i: Inputs, a: Attributes) -> Tensor:
    axis = a.get("axis", 1)
    flat: Tensor = i[0].reshape(math.prod(i[0].shape[:axis]), -1)
    return flat


def _reshape(i: Inputs, a: Attributes) -> Tensor:
    shape = i[1].tolist()
    if not a.get("allowzero"):
        shape = [i[0].shape[k] if size == 0 else size for k, size in enumerate(shape)]
    shaped: Tensor = i[0].reshape(shape)
    return shaped


def _squeeze(i: Inputs, a: Attributes) -> Tensor:
    axes = i[1].tolist() if len(i) > 1 and i[1] is not None else a.get("axes")
    squeezed: Tensor = i[0].squeeze() if axes is None else i[0].squeeze(tuple(axes))
    return squeezed


def _unsqueeze(i: Inputs, a: Attributes) -> Tensor:
    axes = i[1].tolist() if len(i) > 1 else a["axes"]
    x: Tensor = i[0]
    for axis in sorted(axis % (i[0].dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(i: Inputs, a: Attributes) -> Tensor:
    x = i[0]
    starts, ends = (i[1].tolist(), i[2].tolist()) if len(i) > 1 else (a["starts"], a["ends"])
    axes = i[3].tolist() if len(i) > 3 and i[3] is not None else a.get("axes", range(len(starts)))
    steps = i[4].tolist() if len(i) > 4 and i[4] is not None else [1] * len(starts)
    index = [slice(None)] * x.dim()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise unsupported("Slice", "a step backwards")
        index[axis] = slice(start, end, step)
    sliced: Tensor = x[tuple(index)]
    return sliced


def _gather(i: Inputs, a: Attributes) -> Tensor:
    x, index, axis = i[0], i[1].long(), a.get("axis", 0) % i[0].dim()
    index = torch.where(index < 0, index + x.shape[axis], index)
    chosen = x.index_select(axis, index.reshape(-1))
    gathered: Tensor = chosen.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return gathered


def _split(i: Inputs, a: Attributes) -> list[Tensor]:
    axis = a.get("axis", 0)
    sizes = i[1].tolist() if len(i) > 1 and i[1] is not None else a.get("split")
    if sizes is None:
        if "num_outputs" not in a:
            raise unsupported("Split", "no sizes")
        sizes = -(-i[0].shape[axis] // a["num_outputs"])
    return list(i[0].split(sizes, dim=axis))


def _constant(i: Inputs, a: Attributes) -> Tensor:
    (value,) = a.values()
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


def _constant_of_shape(i: Inputs, a: Attributes) -> Tensor:
    value = a.get("value", torch.zeros(1))
    filled: Tensor = value.reshape(()).expand(i[0].tolist()).clone()
    return filled


def _cast(i: Inputs, a: Attributes) -> Tensor:
    if a["to"] not in _DTYPES:
        raise unsupported("Cast", f"type {a['to']}")
    cast: Tensor = i[0].to(_DTYPES[a["to"]])
    return cast


def _shape(i: Inputs, a: Attributes) -> Tensor:
    return torch.tensor(list(i[0].shape)[a.get("start", 0) : a.get("end")])


def _div(i: Inputs, a: Attributes) -> Tensor:
    return torch.div(i[0], i[1], rounding_mode=None if i[0].is_floating_point() else "trunc")


def _gelu(i: Inputs, a: Attributes) -> Tensor:
    return F.gelu(i[0], approximate=a.get("approximate", "none"))


def _of_all(function: Callable[..., Tensor]) -> Op:
    return lambda i, a: function(*i)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def _global_pool(function: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Op:
    return lambda i, a: function(i[0], tuple(range(2, i[0].dim())), True)


OPS: Mapping[str, Op] = MappingProxyType(
    {
        "Conv": conv, "Gemm": _gemm, "MatMul": _of_all(torch.matmul),
        "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm, "LayerNormalization": _layer_norm,
        "Add": _of_all(torch.add), "Sub": _of_all(torch.sub), "Mul": _of_all(torch.mul), "Div": _div,
        "Pow": _of_all(torch.pow), "Sqrt": _of_all(torch.sqrt), "Reciprocal": _of_all(torch.reciprocal),
        "Exp": _of_all(torch.exp), "Log": _of_all(torch.log), "Neg": _of_all(torch.neg), "Abs": _of_all(torch.abs),
        "Erf": _of_all(torch.erf),
        "Max": lambda i, a: _folded(torch.maximum, i), "Min": lambda i, a: _folded(torch.minimum, i),
        "Relu": _of_all(F.relu), "Sigmoid": _of_all(torch.sigmoid), "Tanh": _of_all(torch.tanh),
        "Softplus": _of_all(F.softplus), "HardSwish": _of_all(F.hardswish), "Gelu": _gelu,
        "PRelu": lambda i, a: torch.where(i[0] < 0, i[0] * i[1], i[0]),
        "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
        "Elu": lambda i, a: F.elu(i[0], a.get("alpha", 1.0)),
        "HardSigmoid": lambda i, a: _hard_sigmoid(i[0], a.get("alpha", 0.2), a.get("beta", 0.5)),
        "Softmax": lambda i, a: torch.softmax(i[0], a.get("axis", -1)),
        "LogSoftmax": lambda i, a: torch.log_softmax(i[0], a.get("axis", -1)),
        "Clip": _clip, "Cast": _cast, "Identity": lambda i, a: i[0], "Dropout": lambda i, a: i[0],
        "MaxPool": max_pool, "AveragePool": average_pool,
        "GlobalAveragePool": _global_pool(torch.mean), "GlobalMaxPool": _global_pool(torch.amax),
        "ReduceMean": _reduced(torch.mean), "ReduceSum": _reduced(torch.sum), "ReduceMax": _reduced(torch.amax),
        "Flatten": _flatten, "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
        "Transpose": lambda i, a: i[0].permute(a.get("perm", list(reversed(range(i[0].dim()))))),
        "Concat": lambda i, a: torch.cat(list(i), dim=a["axis"]), "Split": _split, "Slice": _slice, "Gather": _gather,
        "Pad": pad, "Expand": lambda i, a: i[0] * torch.ones(i[1].tolist(), dtype=i[0].dtype, device=i[0].device),
        "Shape": _shape, "Constant": _constant, "ConstantOfShape": _constant_of_shape,
    }
)  # fmt: skip


def _folded(function: Callable[[Tensor, Tensor], Tensor], i: Inputs) -> Tensor:
    result: Tensor = i[0]
    for x in i[1:]:
        result = function(result, x)
    return result
