"""Which nodes stay in FP32, and why: chosen by op and by node name, never by the size of what was seen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float16).max)
"""The largest finite value of FP16, 65504."""

_NORMS = frozenset({
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "LRN",
    "MeanVarianceNormalization", "RMSNormalization",
})  # fmt: skip
_SUMS = frozenset({
    "CumSum", "GlobalAveragePool", "GlobalLpPool", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare",
})  # fmt: skip
_WIDE = frozenset({"Exp", "Log", "Pow", "Reciprocal", "Softplus", "Sqrt"})
_IN_A_NORM = re.compile(r"norm[^/]*/[^/]+$", re.IGNORECASE)
"""The module's own name, the last before the op, speaks of a norm: `purifier.decoder_blocks.0.norm1/Sqrt`."""
_ON_PIXELS = re.compile(r"^(graph/(Add|Cast|Clip|Div|Mul|Round|Sigmoid|Sub|Tanh|Transpose)|victim/(Sub|Div))(_\d+)?$")
"""The root's own arithmetic, from the frames to the purified image and to uint8; its Concats carry features."""
_SCORES = frozenset({"logits", "raw_logits", "suspicion"})

A_NORM = "a normalisation: FP16 has neither the range nor the step for its statistics"
IN_A_NORM = "mean, variance and scaling of a normalisation made of plain ops (AdaLIN)"
A_SUM = "a sum over many values, which leaves FP16's range long before its mean does"
WIDE = "a power, a root or a reciprocal, whose range is wider than FP16's"
ON_PIXELS = "arithmetic on pixels: cheap, and each step of it in FP16 costs up to a sixteenth of a level of 256"
A_SCORE = "makes a score, so that close scores do not become ties"
HEAVY_WEIGHT = f"a weight beyond FP16's largest value, {LARGEST:.0f}"
UNSUPPORTED = "an op that runtimes lack in FP16"
BETWEEN = "lies between nodes that stay in FP32"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptNode:
    """One node that stays in FP32."""

    name: str
    op: str
    reason: str


def kept_nodes(
    model: onnx.ModelProto, float_names: frozenset[str], unsupported: frozenset[str]
) -> tuple[KeptNode, ...]:
    """Return the nodes that stay in FP32, in the graph's order.

    Args:
        model: an FP32 graph whose nodes have names.
        float_names: the values and weights that are FP32; a node without any has nothing to keep.
        unsupported: ops that the converter does not take.
    """
    heavy = _heavy_weights(model)
    reason_of: dict[str, str] = {}
    for node in model.graph.node:
        if not float_names.isdisjoint((*node.input, *node.output)):
            reason = _reason(node, heavy, unsupported)
            if reason is not None:
                reason_of[node.name] = reason
    reason_of.update(dict.fromkeys(_between(model.graph.node, reason_of, float_names), BETWEEN))
    return tuple(
        KeptNode(name=node.name, op=node.op_type, reason=reason_of[node.name])
        for node in model.graph.node
        if node.name in reason_of
    )


def described(kept: Sequence[KeptNode]) -> list[str]:
    """Return a line a reason, with how many nodes of which op it keeps; the most common reason first."""
    lines = []
    for reason, num_nodes in Counter(node.reason for node in kept).most_common():
        ops = Counter(node.op for node in kept if node.reason == reason).most_common()
        lines.append(f"{num_nodes} ({', '.join(f'{count} {op}' for op, count in ops)}): {reason}")
    return lines


def _reason(node: onnx.NodeProto, heavy: frozenset[str], unsupported: frozenset[str]) -> str | None:
    tests: Mapping[str, bool] = {
        A_NORM: node.op_type in _NORMS,
        IN_A_NORM: _IN_A_NORM.search(node.name) is not None,
        A_SUM: node.op_type in _SUMS,
        WIDE: node.op_type in _WIDE,
        ON_PIXELS: _ON_PIXELS.match(node.name) is not None,
        A_SCORE: not _SCORES.isdisjoint(node.output),
        HEAVY_WEIGHT: not heavy.isdisjoint(node.input),
        UNSUPPORTED: node.op_type in unsupported,
    }
    return next((reason for reason, holds in tests.items() if holds), None)


def _heavy_weights(model: onnx.ModelProto) -> frozenset[str]:
    from onnx import TensorProto, numpy_helper

    floats = (tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    return frozenset(t.name for t in floats if (np.abs(numpy_helper.to_array(t)) > LARGEST).any())


def _between(nodes: Sequence[onnx.NodeProto], kept: Collection[str], float_names: frozenset[str]) -> list[str]:
    """Name the nodes whose values all come from kept nodes and all go to kept nodes: casts there would only cost."""
    made_by = {name: node.name for node in nodes for name in node.output}
    readers: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    found = []
    for node in nodes:
        sources = [made_by[name] for name in node.input if name in made_by and name in float_names]
        sinks = [reader for name in node.output if name in float_names for reader in readers.get(name, [])]
        if node.name not in kept and sources and sinks and all(name in kept for name in (*sources, *sinks)):
            found.append(node.name)
    return found
