"""A torch twin of an ONNX graph as it ships: the same ops on the same weights and scales, with gradients.

Shapes: N images, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from capgan_benchmarks.threats.artifact import graph_of
from capgan_benchmarks.threats.quantised_ops import QUANTISED_OPS, rounded_straight_through, unconvertible
from capgan_edge.errors import ArtifactError, MissingDependencyError
from capgan_edge.runtime.bundle import Bundle

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

_INPUT, _OUTPUT = "frames", "logits"
_DOMAINS = ("", "ai.onnx")
_QUANTISE = "QuantizeLinear"


class _Step(NamedTuple):
    op_type: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]


class GraphTwin:
    """From float32 RGB in [0, 1], [N, 3, H, W], to the logits that the graph gives the nearest 8-bit frames.

    Rounding, of frames and of activations, is straight-through backward. What a graph holds in FP16 is computed in
    FP32.
    """

    def __init__(self, model_bytes: bytes, *, device: str = "cpu") -> None:
        """Read a graph of the contract.

        Raises:
            ArtifactError: the bytes are no ONNX graph with `frames` and `logits`.
            ConfigError: an op has no counterpart in torch.
        """
        from capgan_edge.models.onnx_ops import OPS

        graph = _graph_from_bytes(model_bytes)
        self._ops = {**OPS, **QUANTISED_OPS}
        nodes = _nodes_before(graph, _OUTPUT)
        unknown = sorted({_op_name(node) for node in nodes} - self._ops.keys())
        if unknown:
            raise unconvertible(", ".join(unknown))
        self._steps = [
            _Step(node.op_type, list(node.input), list(node.output), _attributes(node, device)) for node in nodes
        ]
        self._num_uses = Counter(name for step in self._steps for name in step.inputs)
        self._weights = {tensor.name: _tensor(tensor, device) for tensor in graph.initializer}
        self.num_quantised = sum(step.op_type == _QUANTISE for step in self._steps)
        """How many values are rounded to INT8 on the way to the logits."""
        self.device = device

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        from capgan_edge.models.onnx_spatial_ops import UnconvertibleError

        held = {**self._weights, _INPUT: rounded_straight_through(x_NCHW * 255).permute(0, 2, 3, 1)}
        left = dict(self._num_uses)
        for step in self._steps:
            given = [held[name] if name else None for name in step.inputs]
            try:
                result = self._ops[step.op_type](given, step.attributes)
            except UnconvertibleError as error:
                raise unconvertible(error.op) from error
            results = result if isinstance(result, list) else [result]
            held.update(zip((name for name in step.outputs if name), map(_widened, results), strict=False))
            for name in filter(None, step.inputs):  # let go of what nobody reads any more
                left[name] -= 1
                if not left[name] and name != _OUTPUT:
                    held.pop(name, None)
        return held[_OUTPUT]


def twin_from_bundle(bundle: Bundle, name: str, *, device: str = "cpu") -> GraphTwin:
    """Return the twin of a graph, or of the graph that an engine was compiled from.

    Raises:
        CapganError: there is no such artifact, its graph was replaced since, or the graph has no twin.
    """
    return GraphTwin(bundle.read_file(graph_of(bundle, name)), device=device)


def _nodes_before(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """Return the nodes that the output depends on, in the graph's order."""
    wanted, kept = {output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _graph_from_bytes(model_bytes: bytes) -> onnx.GraphProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError("onnx", "a torch twin of an artifact", "train") from error
    remedy = "give a graph of a bundle (model.int8.onnx); of an engine, the graph that it was built from"
    try:
        model = onnx.load_model_from_string(model_bytes)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx's errors share no base class
        detail = " ".join(str(error).split())[:160]
        raise ArtifactError(f"expected an ONNX graph to make a torch twin of, but: {detail}; {remedy}") from error
    inputs, outputs = ({value.name for value in values} for values in (model.graph.input, model.graph.output))
    if _INPUT not in inputs or _OUTPUT not in outputs:
        came = f"{', '.join(sorted(inputs))} to {', '.join(sorted(outputs))}"
        raise ArtifactError(f"expected a fused graph from {_INPUT} to {_OUTPUT}, got one from {came}; {remedy}")
    return model.graph


def _op_name(node: onnx.NodeProto) -> str:
    name: str = node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}"
    return name


def _attributes(node: onnx.NodeProto, device: str) -> Mapping[str, Any]:
    import onnx

    values: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = _tensor(value, device)
        values[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return values


def _tensor(proto: onnx.TensorProto, device: str) -> Tensor:
    import onnx
    import torch

    return _widened(torch.from_numpy(onnx.numpy_helper.to_array(proto).copy()).to(device))


def _widened(value: Tensor) -> Tensor:
    import torch

    return value.float() if value.dtype == torch.float16 else value
