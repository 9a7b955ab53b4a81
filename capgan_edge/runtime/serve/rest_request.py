"""The body of a REST request, JSON with or without binary tensors after it, checked and as KServe's own request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput

from capgan_edge.runtime.serve.bounds import Bounds
from capgan_edge.runtime.serve.refusals import Refusal

HEADER = "inference-header-content-length"
"""Bytes of JSON before the binary tensors."""
_MAX_DIMENSIONS = 8
_MAX_OUTPUTS = 16
_OF_REQUEST, _OF_INPUT, _OF_OUTPUT = ("timeout", "binary_data_output"), ("binary_data_size",), (
    "binary_data", "classification")  # fmt: skip
"""The parameters that mean something; of others, nothing is kept."""


def request_from_body(body: bytes, num_json_bytes: int, model_name: str, bounds: Bounds) -> InferRequest:
    """Return the request in `body`, of which the first bytes are JSON; whether the model takes it is not said yet.

    KServe's own reader trusts the JSON: a name, a size or a bracket that is missing ends in a 500 there.

    Raises:
        Refusal: it is no request of the protocol.
    """
    bounds.check_json(body, num_json_bytes)
    try:
        head = orjson.loads(memoryview(body)[:num_json_bytes])
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"expected a JSON object of {num_json_bytes} bytes, but: {error}; see {HEADER}") from error
    if not isinstance(head, dict):
        raise Refusal(400, f"expected a JSON object, got {type(head).__name__}; send inputs in an object")
    if head.get("model_version") is not None:
        raise Refusal(404, "expected a model without versions, got model_version; leave it out")
    inputs = _objects(head, "inputs")
    tensor, raw = _input(inputs, memoryview(body)[num_json_bytes:])
    outputs = _objects(head, "outputs") if head.get("outputs") is not None else None
    if outputs is not None and len(outputs) > _MAX_OUTPUTS:
        raise Refusal(400, f"expected at most {_MAX_OUTPUTS} outputs, got {len(outputs)}; see the model's metadata")
    parameters = _parameters(head, _OF_REQUEST)
    default = _flag(parameters, "binary_data_output")
    return InferRequest(
        model_name=model_name,
        request_id=_text(head, "id") if head.get("id") is not None else None,
        infer_inputs=[tensor],
        raw_inputs=None if raw is None else [raw],
        parameters=parameters,
        request_outputs=None if outputs is None else [_requested(output, default) for output in outputs],
    )


def _input(inputs: list[Mapping[str, Any]], rest: memoryview) -> tuple[InferInput, memoryview | None]:
    """Return the one input, and its bytes where it is binary."""
    if len(inputs) != 1:
        raise Refusal(400, f"expected one input, frames, got {len(inputs)}; send a batch as one tensor")
    held = inputs[0]
    parameters = _parameters(held, _OF_INPUT)
    tensor = InferInput(name=_text(held, "name"), shape=_shape(held), datatype=_text(held, "datatype"),
                        data=held.get("data"), parameters=parameters)  # fmt: skip
    size = parameters.get("binary_data_size")
    if size is None:
        if rest:
            raise Refusal(400, f"expected no bytes after the JSON, got {len(rest)}; say binary_data_size of the input")
        if not isinstance(held.get("data"), list):
            raise Refusal(400, "expected the input's data as a list, or its binary_data_size, got neither; send one")
        return tensor, None
    if held.get("data") is not None:
        raise Refusal(400, "expected the input's data in JSON or in binary, got both; send one of them")
    if type(size) is not int or size != len(rest):
        raise Refusal(400, f"expected binary_data_size to be the {len(rest)} bytes after the JSON, got {size!r}; "
                           f"check {HEADER}")  # fmt: skip
    return tensor, rest


def _requested(output: Mapping[str, Any], default: bool) -> RequestedOutput:
    """Return a requested output that says itself whether it is binary: KServe forgets the request's default."""
    parameters = _parameters(output, _OF_OUTPUT)
    is_binary = _flag(parameters, "binary_data") if "binary_data" in parameters else default
    return RequestedOutput(_text(output, "name"), {**parameters, "binary_data": is_binary})


def _objects(held: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = held.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refusal(400, f"expected {key} to be a list of objects, got {type(value).__name__}; see /openapi.json")
    return value


def _text(held: Mapping[str, Any], key: str) -> str:
    value = held.get(key)
    if not isinstance(value, str):
        raise Refusal(400, f"expected {key} to be a text, got {type(value).__name__}; see /openapi.json")
    return value


def _shape(held: Mapping[str, Any]) -> list[int]:
    value = held.get("shape")
    if not isinstance(value, list) or len(value) > _MAX_DIMENSIONS or not all(type(size) is int for size in value):
        raise Refusal(400, "expected shape to be a list of a few whole numbers; see the model's metadata")
    return value


def _parameters(held: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Return the known parameters that are there; null is as good as none."""
    value = held.get("parameters")
    if value is not None and not isinstance(value, dict):
        raise Refusal(400, f"expected parameters to be an object, got {type(value).__name__}; leave them out")
    return {key: value[key] for key in known if value.get(key) is not None} if value else {}


def _flag(parameters: Mapping[str, Any], key: str) -> bool:
    value = parameters.get(key, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"expected {key} to be true or false, got {type(value).__name__}; leave it out")
    return value
