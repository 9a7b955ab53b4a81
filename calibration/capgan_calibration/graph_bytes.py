"""From bytes to a checked ONNX model, whole in itself, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError, MissingDependencyError

if TYPE_CHECKING:
    import onnx

_REMEDY = "give the model.fp32.onnx of a bundle, or export it again with capgan-edge export"


def model_from_bytes(model_bytes: bytes) -> onnx.ModelProto:
    """Parse and check a graph.

    Raises:
        ArtifactError: no ONNX, a broken graph, or weights in other files, which nobody hashed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError("onnx", "calibrating", "train") from error
    try:
        model = onnx.load_model_from_string(model_bytes)
        outside = [
            tensor.name for tensor in model.graph.initializer if onnx.external_data_helper.uses_external_data(tensor)
        ]
        if not outside:
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(f"expected an ONNX graph to quantise, but: {detail}; {_REMEDY}") from error
    if outside:
        raise ArtifactError(
            f"expected an ONNX graph with its weights inside, got {len(outside)} in other files ({outside[0]}); "
            f"{_REMEDY}"
        )
    return model


def bytes_from_model(model: onnx.ModelProto) -> bytes:
    """Return the checked graph, serialised; the same bytes for the same graph."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
