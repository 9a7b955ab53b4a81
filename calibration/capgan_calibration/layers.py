"""Which layers of a graph INT8 can take, which of them are ends, and which stay in floating point and why.

A layer is its weight: where the graph runs the classifier twice, both nodes are one layer and go together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    import onnx

OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Everything else stays as it is: normalisations, residual additions, activations, resizes and concatenations."""
_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One weight and the nodes that use it."""

    name: str
    """Of the first node: `purifier.down1.conv.0/Conv`."""
    op: str
    nodes: tuple[str, ...]
    weight: str
    obstacle: str | None = None
    """Why INT8 cannot take it."""
    end: str | None = None
    """Which end of the purifier or of the victim it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLayer:
    """A layer that stays in floating point."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The layers of a graph, told apart."""

    quantised: tuple[Layer, ...]
    kept: tuple[KeptLayer, ...]


def select_layers(layers: Sequence[Layer], *, exclude: Sequence[str] = (), keep_ends: bool = True) -> Selection:
    """Tell the layers that become INT8 from those that stay.

    Args:
        layers: as `find_layers` gives them.
        exclude: names of layers or patterns of them (`victim.*`) that stay.
        keep_ends: let the first and the last layer of purifier and victim stay too.

    Raises:
        ConfigError: a name or pattern fits no layer.
    """
    for pattern in exclude:
        if not any(_fits(layer, pattern) for layer in layers):
            shown = ", ".join(layer.name for layer in layers[:3])
            raise ConfigError(
                f"expected a layer or a pattern of layers to leave out, got {pattern!r}, which fits none of the "
                f"{len(layers)} ({shown}, ...); --sensitivity lists them all"
            )
    quantised, kept = [], []
    for layer in layers:
        asked = next((pattern for pattern in exclude if _fits(layer, pattern)), None)
        reason = layer.obstacle or (layer.end if keep_ends else None) or (asked and f"left out by {asked!r}")
        if reason:
            kept.append(KeptLayer(name=layer.name, op=layer.op, reason=reason))
        else:
            quantised.append(layer)
    return Selection(quantised=tuple(quantised), kept=tuple(kept))


def find_layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return the convolutions and matrix products of a graph, in its order.

    Raises:
        ArtifactError: there is none, the graph is quantised already, or nodes have no names of their own.
    """
    nodes = list(model.graph.node)
    found = sorted({node.op_type for node in nodes} & _QUANTISED)
    if found:
        raise ArtifactError(f"expected a floating-point graph to quantise, got one with {found[0]}; give the FP32 one")
    candidates = [node for node in nodes if node.op_type in OPS]
    names = Counter(node.name for node in nodes)
    if not candidates or not all(node.name and names[node.name] == 1 for node in candidates):
        came = "one without any" if not candidates else "layers without a name of their own"
        raise ArtifactError(f"expected a graph with named layers ({', '.join(OPS)}), got {came}; export it with "
                            "capgan-edge export")  # fmt: skip
    by_weight: dict[str, list[onnx.NodeProto]] = {}
    for node in candidates:
        by_weight.setdefault(node.input[1], []).append(node)
    ends, num_readers = _ends(nodes), _num_readers(model.graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    layers = []
    for weight, users in by_weight.items():
        first = users[0]
        layers.append(Layer(
            name=first.name, op=first.op_type, nodes=tuple(node.name for node in users), weight=weight,
            obstacle=_obstacle(users, shapes.get(weight), num_readers[weight], shapes),
            end=next((ends[node.name] for node in users if node.name in ends), None)))  # fmt: skip
    return tuple(layers)


def _fits(layer: Layer, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in layer.nodes)


def _axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and _attribute(node, "transB", 0) else 1


def _obstacle(
    users: Sequence[onnx.NodeProto], shape: tuple[int, ...] | None, num_readers: int, shapes: dict[str, tuple[int, ...]]
) -> str | None:
    """Return why the layer cannot be INT8 with a scale for each output channel; None where it can."""
    if shape is None:
        return "its weight is computed, not stored"
    if num_readers != len(users):
        return "its weight is used elsewhere too"
    if any(node.input[0] in shapes for node in users):
        return "its input is a constant"
    if len({(node.op_type, _axis(node)) for node in users}) > 1:
        return "its weight is used in two ways"
    if users[0].op_type == "MatMul" and len(shape) != 2:
        return "its weight is no matrix"
    if any(node.op_type == "Gemm" and _attribute(node, "beta", 1.0) != 1.0 for node in users):
        return "its bias is scaled (beta), which ONNX Runtime's quantiser drops"
    if any(node.op_type == "Gemm" and _attribute(node, "transA", 0) for node in users):
        return "its input is transposed (transA)"
    return None


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    held = next((attribute for attribute in node.attribute if attribute.name == name), None)
    if held is None:
        return default
    return float(held.f) if isinstance(default, float) else int(held.i)


def _ends(nodes: Sequence[onnx.NodeProto]) -> dict[str, str]:
    """Name the nodes before which, and those after which, no layer of the same part comes."""
    before = _parts_reached([(node, node.input, node.output) for node in nodes])
    after = _parts_reached([(node, node.output, node.input) for node in reversed(nodes)])
    ends = {}
    for node in nodes:
        if node.op_type in OPS:
            if _part(node) not in before[node.name]:
                ends[node.name] = f"a first layer of the {_part(node)}"
            elif _part(node) not in after[node.name]:
                ends[node.name] = f"a last layer of the {_part(node)}"
    return ends


def _parts_reached(steps: Sequence[tuple[onnx.NodeProto, Sequence[str], Sequence[str]]]) -> dict[str, set[str]]:
    """Return for each layer's node the parts that have a layer on the way to it, walking from and to these values."""
    reached_of_value: dict[str, set[str]] = {}
    reached_of_node: dict[str, set[str]] = {}
    for node, sources, targets in steps:
        reached = set().union(*(reached_of_value.get(name, set()) for name in sources))
        if node.op_type in OPS:
            reached_of_node[node.name] = set(reached)
            reached.add(_part(node))
        for name in targets:
            reached_of_value.setdefault(name, set()).update(reached)
    return reached_of_node


def _part(node: onnx.NodeProto) -> str:
    return "purifier" if node.name.startswith("purifier") else "victim"


def _num_readers(graph: onnx.GraphProto) -> Counter[str]:
    """Count who reads each value: nodes, those inside branches and loops too, and the graph's outputs."""
    counts = Counter(output.name for output in graph.output)
    for node in graph.node:
        counts.update(node.input)
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                counts.update(_num_readers(inner))
    return counts
