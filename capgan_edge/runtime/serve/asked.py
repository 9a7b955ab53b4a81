"""What a request asks of the model, over REST or gRPC: frames, outputs, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput, to_http_parameters
from numpy.typing import NDArray

from capgan_edge.runtime.serve.loaded import TensorSpec
from capgan_edge.runtime.serve.refusals import Refusal

_MAX_DEPTH = 4
"""Of lists in lists: frames, rows, places, channels."""
_STEP = 1 << 16
"""Numbers that are read at once: between two steps, another thread has its turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request that the model can answer."""

    frames_NHWC: NDArray[np.uint8]
    outputs: tuple[RequestedOutput, ...]
    """At least one, each an output of the graph, in the order asked for; `binary_data` is said of each."""
    timeout_s: float | None


def asked_from_request(request: InferRequest, frames: TensorSpec, outputs: tuple[TensorSpec, ...]) -> Asked:
    """Hold a request to the model's metadata.

    Raises:
        Refusal: it names, shapes or types a tensor otherwise.
    """
    if len(request.inputs) != 1:
        raise Refusal(400, f"expected one input, frames, got {len(request.inputs)}; send a batch as one tensor")
    parameters = dict(to_http_parameters(request.parameters)) if request.parameters else {}
    return Asked(frames_NHWC=_frames(request.inputs[0], frames),
                 outputs=_outputs(request, [spec.name for spec in outputs]),
                 timeout_s=_timeout_s(parameters))  # fmt: skip


def _frames(tensor: InferInput, spec: TensorSpec) -> NDArray[np.uint8]:
    _, height, width, _ = spec.shape
    wanted = f"{spec.name} {spec.datatype} [N, {height}, {width}, 3]"
    if (tensor.name, tensor.datatype) != (spec.name, spec.datatype):
        raise Refusal(400, f"expected the input {wanted}, got {tensor.name} {tensor.datatype}; "
                           "scaling is inside the graph, send pixels as they are")  # fmt: skip
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[1:] != spec.shape[1:] or shape[0] < 1:
        raise Refusal(400, f"expected the input {wanted}, got {list(shape)}; resize the frames, or send an encoded "
                           "image to the route classify")  # fmt: skip
    try:
        array = _pixels(tensor.data) if tensor.data else np.asarray(tensor.as_numpy()).reshape(-1)
    except (TypeError, ValueError) as error:
        raise Refusal(400, f"expected the pixels of {wanted}, but: {error}; whole numbers in [0, 255]") from error
    if array.dtype != np.uint8 or array.size != np.prod([*shape], dtype=object):
        raise Refusal(400, f"expected the pixels of {list(shape)}, got {array.size}; check the shape")
    return array.reshape(shape)


def _pixels(data: list[Any]) -> NDArray[np.uint8]:
    """Return whole numbers in [0, 255] from a flat or nested list; a text or a float is never taken for one."""
    for _ in range(_MAX_DEPTH - 1):
        if not data or any(type(item) is not list for item in data):
            break
        data = list(chain.from_iterable(data))
    if not data:
        raise ValueError("there is an empty list among them")
    return np.frombuffer(
        b"".join(_bytes(data[start : start + _STEP]) for start in range(0, len(data), _STEP)), np.uint8
    )


def _bytes(data: list[Any]) -> bytes:
    kinds = set(map(type, data))
    if kinds != {int}:
        raise ValueError(f"there is {', '.join(sorted(kind.__name__ for kind in kinds))} among them")
    return bytes(data)


def _outputs(request: InferRequest, known: list[str]) -> tuple[RequestedOutput, ...]:
    if not request.request_outputs:
        return tuple(RequestedOutput(name, {"binary_data": bool(request.use_binary_outputs)}) for name in known)
    names = [output.name for output in request.request_outputs]
    if not set(names) <= set(known) or len(set(names)) != len(names):
        raise Refusal(400, f"expected outputs among {', '.join(known)}, each once, got {', '.join(names)}; "
                           "see the model's metadata")  # fmt: skip
    if any("classification" in (output.parameters or {}) for output in request.request_outputs):
        raise Refusal(400, "expected no classification of outputs, which is not offered; "
                           "take the largest logit, or use the route classify")  # fmt: skip
    return tuple(request.request_outputs)


def _timeout_s(parameters: dict[str, Any]) -> float | None:
    """Return the protocol's `timeout`, which is in microseconds."""
    timeout_us = parameters.get("timeout")
    if timeout_us is None or timeout_us == 0:
        return None
    if type(timeout_us) is not int or timeout_us < 0:
        raise Refusal(400, f"expected timeout as a whole number of microseconds, got {timeout_us!r}; leave it out")
    return float(timeout_us) / 1e6 if timeout_us < 1 << 53 else None
