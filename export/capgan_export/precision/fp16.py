"""From the FP32 graph to FP16 with FP32 islands: ONNX Runtime's converter, told what to leave alone.

What is ours is what the converter does not do: a weight that both sides read is split first, and the casts between two
nodes that stay in FP32 are taken out again, or every value inside a norm would pass through FP16 after all. ONNX
Runtime's own removal of casts is not used: it takes a victim's float to integer to float for such a pair too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ArtifactError, MissingDependencyError
from capgan_export.precision.casts import remove_cast_pairs
from capgan_export.precision.kept import KeptNode, kept_nodes

if TYPE_CHECKING:
    import onnx

_QUANTISED = frozenset({
    "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Fp16Graph:
    """The converted graph, and what stayed in FP32 in it."""

    model_bytes: bytes
    kept: tuple[KeptNode, ...]
    num_nodes: int
    """Nodes of the FP32 graph, of which `kept` are some."""
    converter: str
    """Which converter of which version."""


def fp16_from_fp32(model_bytes: bytes) -> Fp16Graph:
    """Return the graph in FP16; its inputs and outputs keep their types. The same bytes for the same graph and tools.

    Raises:
        ArtifactError: no FP32 graph, or one that has other precisions in it already, or control flow.
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    _require_onnx()
    from onnx import checker

    model = _model_from_bytes(model_bytes)
    _refuse_what_does_not_convert(model)
    _prepare(model)
    float_names = frozenset(_float_names(model))
    float16 = _converter()
    kept = kept_nodes(model, float_names, frozenset(float16.DEFAULT_OP_BLOCK_LIST))
    names = {node.name for node in kept}
    num_nodes = len(model.graph.node)
    _split_shared_weights(model, names)
    model = float16.convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, op_block_list=[], node_block_list=sorted(names)
    )
    model = remove_cast_pairs(model)
    _set_precision(model)
    try:
        checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's errors share no base class
        raise ArtifactError(
            f"expected a graph that converts to FP16, but onnx says of the result: {_short(error)}; report this as a "
            "bug with the version of onnxruntime"
        ) from error
    data: bytes = model.SerializeToString(deterministic=True)
    return Fp16Graph(
        model_bytes=data, kept=kept, num_nodes=num_nodes, converter=f"{float16.__name__} of onnxruntime {_version()}"
    )


def _model_from_bytes(model_bytes: bytes) -> onnx.ModelProto:
    import onnx

    try:
        model: onnx.ModelProto = onnx.load_model_from_string(model_bytes)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's errors are not onnx's
        raise ArtifactError(
            f"expected an ONNX graph in FP32, got one that onnx refuses ({_short(error)}); export it again"
        ) from error
    return model


def _refuse_what_does_not_convert(model: onnx.ModelProto) -> None:
    from onnx import TensorProto

    quantised = next((node.name for node in model.graph.node if node.op_type in _QUANTISED), None)
    if quantised is not None:
        raise ArtifactError(
            f"expected an FP32 graph, got a quantised one ({quantised}); convert model.fp32.onnx, from which INT8 is "
            "made too"
        )
    halves = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    weights = [tensor.name for tensor in model.graph.initializer if tensor.data_type in halves]
    casts = [n.name for n in model.graph.node if any(a.name == "to" and a.i in halves for a in n.attribute)]
    constants = [n.name for n in model.graph.node for a in n.attribute if a.t.data_type in halves]
    if weights or casts or constants:
        raise ArtifactError(
            f"expected an FP32 graph, got one that is in half precision already ({(weights + casts + constants)[0]}); "
            "convert model.fp32.onnx"
        )
    nested = next((n.name for n in model.graph.node for a in n.attribute if a.HasField("g") or a.graphs), None)
    if nested is not None or model.functions:
        raise ArtifactError(
            f"expected a graph without control flow, got {nested or model.functions[0].name}; export the victim "
            "without branches or loops on values"
        )


def _prepare(model: onnx.ModelProto) -> None:
    """Make constants weights, give every node a name of its own, and every value its type."""
    import onnx_ir as ir
    from onnx import shape_inference
    from onnx_ir.passes import common

    lifted = ir.from_proto(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(lifted)
    model.CopyFrom(ir.to_proto(lifted))
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
        taken.add(node.name)
    del model.graph.value_info[:]
    try:
        model.CopyFrom(shape_inference.infer_shapes(model, strict_mode=True))
    except Exception as error:  # onnx's errors share no base class
        raise ArtifactError(
            f"expected a graph whose types onnx can infer, but: {_short(error)}; export it again"
        ) from error


def _float_names(model: onnx.ModelProto) -> Iterator[str]:
    from onnx import TensorProto

    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            yield value.name
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            yield tensor.name


def _split_shared_weights(model: onnx.ModelProto, kept: set[str]) -> None:
    """Give the nodes that stay their own copy of a weight that others read too, which would reach them rounded."""
    from onnx import TensorProto

    floats = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    read_by_others = {name for node in model.graph.node if node.name not in kept for name in node.input}
    copied: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in kept:
            continue
        for index, name in enumerate(node.input):
            if name in floats and name in read_by_others:
                if name not in copied:
                    copied[name] = f"{name}_fp32"
                    twin = model.graph.initializer.add()
                    twin.CopyFrom(floats[name])
                    twin.name = copied[name]
                node.input[index] = copied[name]


def _set_precision(model: onnx.ModelProto) -> None:
    entry = next((entry for entry in model.metadata_props if entry.key == "precision"), None)
    if entry is None:
        entry = model.metadata_props.add(key="precision")
    entry.value = "fp16"


def _converter() -> Any:
    """Return ONNX Runtime's converter.

    Its package puts a folder of loose modules on `sys.path`, once; it stays, because `onnxruntime.quantization` takes
    modules from there later and cannot be imported any more where it was taken off.
    """
    try:
        from onnxruntime.transformers import float16
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnxruntime", "converting to FP16", "cpu") from error
    return float16


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _require_onnx() -> None:
    try:
        import onnx_ir  # noqa: F401  # onnx comes with it
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "converting to FP16", "train") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
