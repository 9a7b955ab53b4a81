"""A victim from an ONNX file: what it takes and gives, checked, and its graph as a torch module where its ops convert.

Shapes: N images, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from capgan_edge.errors import ArtifactError, MissingDependencyError
from capgan_edge.models.onnx_ops import OPS
from capgan_edge.models.onnx_spatial_ops import Attributes, UnconvertibleError

if TYPE_CHECKING:
    import onnx

_DOMAINS = ("", "ai.onnx")
_WANTED = "an ONNX classifier of float32 RGB in [0, 1], [N, 3, H, W], to logits [N, K], N free"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxVictim:
    """An ONNX classifier whose inputs and outputs are those of a victim."""

    model: onnx.ModelProto
    """Without local functions, and without weights among its inputs."""
    input_name: str
    output_name: str
    num_classes: int
    size_px: tuple[int, int] | None
    """Height and width that the graph is bound to; None where they are free."""


def onnx_victim_from_bytes(data: bytes, name: str) -> OnnxVictim:
    """Parse and check an ONNX file; `name` is what errors call it.

    Raises:
        ArtifactError: no ONNX model, one with its weights in other files, or one with other inputs and outputs.
    """
    onnx = _onnx()
    try:
        model = onnx.load_model_from_string(data)
        if has_external_data(model):
            raise _refused(
                name, "one whose weights lie in other files",
                "save it in one with onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
            )  # fmt: skip
        onnx.checker.check_model(model)
        model = onnx.inliner.inline_local_functions(model) if model.functions else model
        model = onnx.shape_inference.infer_shapes(model)
    except ArtifactError:
        raise
    except Exception as error:  # onnx's errors share no base class
        raise _refused(name, f"a file that onnx refuses ({_brief(error)})", "export it again") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]  # IR 3 lists weights as inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise _refused(name, f"{len(inputs)} inputs and {len(model.graph.output)} outputs", "keep one of each")
    size_px = _checked_input(inputs[0], name)
    num_classes = _checked_output(model.graph.output[0], name)
    return OnnxVictim(model=model, input_name=inputs[0].name, output_name=model.graph.output[0].name,
                      num_classes=num_classes, size_px=size_px)  # fmt: skip


def has_external_data(message: Any) -> bool:
    """Whether a tensor anywhere in an ONNX message (attributes, subgraphs, functions, ...) names another file."""
    if isinstance(message, _onnx().TensorProto):
        return bool(message.external_data) or message.data_location == _onnx().TensorProto.EXTERNAL
    for field, value in message.ListFields():
        if field.message_type is not None:
            held = [value] if hasattr(value, "ListFields") else value
            if any(has_external_data(inner) for inner in held):
                return True
    return False


def _checked_input(value: onnx.ValueInfoProto, name: str) -> tuple[int, int] | None:
    kind, shape = _kind_and_shape(value)
    if kind != _onnx().TensorProto.FLOAT:
        raise _refused(
            name, f"input {value.name!r} of another type", "let it take float32; scaling by 255 is ours to do"
        )
    if len(shape) != 4 or shape[1] not in (3, None):
        raise _refused(
            name, f"input {value.name!r} of shape {shape}", "let it take [N, 3, H, W]; put a Transpose before it"
        )
    if shape[0] is not None:
        raise _refused(name, f"a fixed batch of {shape[0]}", "export it with a free first dimension (dynamic_shapes)")
    return (shape[2], shape[3]) if shape[2] is not None and shape[3] is not None else None


def _checked_output(value: onnx.ValueInfoProto, name: str) -> int:
    kind, shape = _kind_and_shape(value)
    if kind != _onnx().TensorProto.FLOAT or len(shape) != 2 or shape[1] is None:
        raise _refused(
            name, f"output {value.name!r} of shape {shape}", "let it give float32 logits [N, K] with K fixed"
        )
    return shape[1]


def _kind_and_shape(value: onnx.ValueInfoProto) -> tuple[int, list[int | None]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def unconvertible_ops(victim: OnnxVictim) -> tuple[str, ...]:
    """Name the ops of the graph that have no counterpart here; with none, `OnnxModule` takes the victim."""
    names = {n.op_type if n.domain in _DOMAINS else f"{n.domain}.{n.op_type}" for n in victim.model.graph.node}
    return tuple(sorted(names - OPS.keys()))


class OnnxModule(nn.Module):
    """An ONNX graph run by torch, one op after another: differentiable, on any device, weights as frozen buffers."""

    def __init__(self, victim: OnnxVictim) -> None:
        super().__init__()
        missing = unconvertible_ops(victim)
        if missing:
            raise UnconvertibleError(", ".join(missing))
        graph = victim.model.graph
        self.input_name, self.output_name = victim.input_name, victim.output_name
        self._buffer_of: dict[str, str] = {}
        for index, initializer in enumerate(graph.initializer):
            self._buffer_of[initializer.name] = f"w{index}"
            self.register_buffer(f"w{index}", _tensor(initializer))
        self._steps = [
            (node.op_type, list(node.input), list(node.output), _attributes(node)) for node in graph.node
        ]  # ONNX lists nodes in an order that they can run in
        self._num_uses = _num_uses(self._steps)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        held: dict[str, Tensor] = {name: self.get_buffer(key) for name, key in self._buffer_of.items()}
        held[self.input_name] = x_BCHW
        left = dict(self._num_uses)
        for op_type, inputs, outputs, attributes in self._steps:
            result = OPS[op_type]([held[name] if name else None for name in inputs], attributes)
            results = result if isinstance(result, list) else [result]
            held.update(zip((name for name in outputs if name), results, strict=False))
            for name in inputs:  # let go of what nobody reads any more
                if name:
                    left[name] -= 1
                    if left[name] == 0 and name != self.output_name:
                        held.pop(name, None)
        return held[self.output_name]


def _num_uses(steps: list[tuple[str, list[str], list[str], Attributes]]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for _, inputs, _, _ in steps:
        for name in inputs:
            uses[name] = uses.get(name, 0) + 1
    return uses


def _attributes(node: onnx.NodeProto) -> Attributes:
    onnx = _onnx()
    values: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for name, value in values.items():
        if isinstance(value, bytes):
            values[name] = value.decode()
        elif isinstance(value, onnx.TensorProto):
            values[name] = _tensor(value)
    return values


def _tensor(proto: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(_onnx().numpy_helper.to_array(proto).copy())


def _refused(name: str, came: str, remedy: str) -> ArtifactError:
    return ArtifactError(f"{name}: expected {_WANTED}, got {came}; {remedy}")


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.inliner
        import onnx.shape_inference
    except ImportError as error:
        raise MissingDependencyError("onnx", "an ONNX victim", "train") from error
    return onnx


def _brief(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
