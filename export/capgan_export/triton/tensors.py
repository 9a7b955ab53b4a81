"""What an artifact takes and gives, read from the artifact itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.contract import Tensor, check_contract
from capgan_edge.runtime.sidecar import EngineSidecar, sidecar_from_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensors:
    """Inputs and outputs of a graph that honours the graph contract: the batch is the first, free dimension of each."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def tensors_from_onnx(model_bytes: bytes) -> Tensors:
    """Return the tensors of a graph.

    Raises:
        ArtifactError: no ONNX model, or one that breaks the graph contract.
    """
    import onnx

    try:
        graph = onnx.load_model_from_string(model_bytes).graph
    except Exception as error:  # protobuf's errors share no base class of onnx
        raise ArtifactError("expected an ONNX model, got other bytes; export the bundle again") from error
    held = Tensors(inputs=tuple(_tensors(graph.input)), outputs=tuple(_tensors(graph.output)))
    check_contract(held.inputs, held.outputs)
    return held


def source_of_engine(bundle: Bundle, name: str) -> tuple[EngineSidecar, Tensors]:
    """Return an engine's sidecar, and the tensors of the very graph that it was compiled from.

    A plan itself says them only to a GPU of its kind.

    Raises:
        ArtifactError: the graph is not in the bundle any more.
    """
    record = bundle.manifest.engines[name]
    sidecar = sidecar_from_json(bundle.read_file(record.sidecar), record.sidecar)
    held = bundle.manifest.files.get(sidecar.source)
    if held is None or held.sha256 != record.source_sha256:
        raise ArtifactError(
            f"{name}: expected the bundle to hold {sidecar.source} as it was compiled, got another or none; "
            "build the engine again"
        )
    return sidecar, tensors_from_onnx(bundle.read_file(sidecar.source))


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    import onnx

    for value in values:
        kind = value.type.tensor_type
        shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        yield Tensor(name=value.name, dtype=dtype, shape=shape)
