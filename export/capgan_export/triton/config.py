"""The configuration of one Triton model: what its artifact takes and gives, and how requests become batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.contract import Tensor
from capgan_export.triton.pbtxt import Message, Symbol, Value
from capgan_export.triton.tensors import Tensors

LABELS_FILE = "labels.txt"
_TYPE_OF = {"uint8": Symbol("TYPE_UINT8"), "float32": Symbol("TYPE_FP32")}
_LABELLED = ("logits", "raw_logits")


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonConfig:
    """What is chosen, for every model of a repository."""

    name: str = "capgan"
    """What the models' names begin with."""
    max_batch: int = 64
    """Frames at once of a graph; an engine has its own bound."""
    max_wait_ms: float = 2.0
    """How long a batch waits for more frames, in milliseconds."""
    max_queue: int = 256
    """Requests that wait at most."""

    def __post_init__(self) -> None:
        plain = self.name.replace("-", "").replace("_", "")
        if not plain.isascii() or not plain.isalnum():
            raise ConfigError(f"expected a name of letters, digits, - and _, got {self.name!r}; it names directories")
        if self.max_batch < 1 or self.max_queue < 1:
            raise ConfigError(f"max_batch and max_queue are counts of at least 1, got {self.max_batch}, "
                              f"{self.max_queue}; leave them out")  # fmt: skip
        if not 0 <= self.max_wait_ms <= 1000:
            raise ConfigError(f"max_wait_ms is in milliseconds, in [0, 1000], got {self.max_wait_ms}; the default is 2")


def model_config(
    name: str, tensors: Tensors, config: TritonConfig, *, max_batch: int, is_plan: bool, facts: Mapping[str, str]
) -> Message:
    """Return `config.pbtxt` as a message.

    Args:
        name: of the model.
        tensors: of its artifact.
        config: what is chosen.
        max_batch: frames that the artifact takes at once; Triton may ask for any number from 1 on.
        is_plan: a TensorRT engine, else an ONNX graph.
        facts: what a client may ask for, by name.
    """
    frames = tensors.inputs[0]
    warm_up: dict[str, Value] = {"data_type": _TYPE_OF[frames.dtype], "dims": _dims(frames), "zero_data": True}
    message: dict[str, Value] = {
        "name": name,
        "platform": "tensorrt_plan" if is_plan else "onnxruntime_onnx",
        "backend": "tensorrt" if is_plan else "onnxruntime",
        "default_model_filename": file_name(is_plan=is_plan),
        "max_batch_size": max_batch,
        "version_policy": {"latest": {"num_versions": 1}},
        "input": [{"name": frames.name, "data_type": _TYPE_OF[frames.dtype], "dims": _dims(frames)}],
        "output": [_output(tensor) for tensor in tensors.outputs],
        "instance_group": [{"count": 1, "kind": Symbol("KIND_GPU" if is_plan else "KIND_AUTO")}],
        "dynamic_batching": {
            "max_queue_delay_microseconds": round(1000 * config.max_wait_ms),
            "preserve_ordering": True,
            "default_queue_policy": {"timeout_action": Symbol("REJECT"), "max_queue_size": config.max_queue},
        },
        "model_warmup": [
            {"name": f"zeros-{size}", "batch_size": size, "inputs": {"key": frames.name, "value": warm_up}}
            for size in sorted({1, max_batch})
        ],
        "parameters": [{"key": key, "value": {"string_value": value}} for key, value in facts.items()],
    }
    if is_plan:
        message["optimization"] = {"cuda": {"graphs": True}}
    return message


def file_name(*, is_plan: bool) -> str:
    """Return what Triton calls a model's file."""
    return "model.plan" if is_plan else "model.onnx"


def _output(tensor: Tensor) -> Message:
    output: dict[str, Value] = {"name": tensor.name, "data_type": _TYPE_OF[tensor.dtype], "dims": _dims(tensor)}
    if not tensor.shape[1:]:
        output["reshape"] = {"shape": []}  # Triton has no dimensions to leave out: it answers [N, 1] for [N]
    if tensor.name in _LABELLED:
        output["label_filename"] = LABELS_FILE
    return output


def _dims(tensor: Tensor) -> list[int]:
    """Return the dimensions without the batch."""
    return [size for size in tensor.shape[1:] if size is not None] or [1]
