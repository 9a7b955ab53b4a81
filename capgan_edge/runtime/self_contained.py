"""Whether an ONNX file is whole in itself, read from its bytes: the edge runtime has no onnx to ask.

Weights in other files were never hashed. ONNX Runtime can be told to read none (see `ort.session_options`); OpenVINO
cannot: it takes them from wherever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator

from capgan_edge.errors import ArtifactError

_HELD: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
"""Messages of onnx.proto on the way to a tensor: number of a field -> the message that it holds."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Kinds of fields on the wire."""


def refuse_outside_weights(model_bytes: bytes) -> None:
    """Refuse a model that has a tensor, at any depth, in another file.

    Raises:
        ArtifactError: it has one, or the bytes are no ONNX model.
    """
    waiting = [("model", memoryview(model_bytes))]
    while waiting:
        kind, data = waiting.pop()
        for number, value in _fields(data):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                    raise ArtifactError(
                        "expected an ONNX model that holds its weights, got one with external data in another file, "
                        "which no hash vouches for; export it again with the weights inside"
                    )
            elif isinstance(value, memoryview) and number in _HELD[kind]:
                waiting.append((_HELD[kind][number], value))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of every field of a message: an integer, or the bytes of what has a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size, at = _varint(data, at) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}.get(kind, -1), at)
        if not 0 <= size <= len(data) - at:
            raise _no_model()
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, least significant first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _no_model()


def _no_model() -> ArtifactError:
    return ArtifactError("expected an ONNX model, got bytes that do not parse as one; export it again")
