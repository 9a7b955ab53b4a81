"""Cut one branch out of the fused graph: the victim alone, or what is deployed, each timed on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.ort import CPU, session_options

VICTIM_ALONE = ("raw_logits",)
DEPLOYED = ("logits", "suspicion")
"""The outputs of a bundle as `capgan-edge export` writes it by default."""


def branch_of(model_bytes: bytes, outputs: Sequence[str]) -> bytes:
    """Return the part of a fused graph that gives these outputs from `frames`, with the same weights.

    Raises:
        ArtifactError: the graph lacks one of the outputs.
    """
    import onnx
    import onnx.utils

    model = onnx.load_model_from_string(model_bytes)
    held = {output.name for output in model.graph.output}
    if not set(outputs) <= held:
        raise ArtifactError(
            f"expected a graph with the outputs {', '.join(outputs)}, got one with {', '.join(sorted(held))}; "
            "export it with all outputs"
        )
    part = onnx.utils.Extractor(model).extract_model(["frames"], list(outputs))
    data: bytes = part.SerializeToString()
    return data


def caller_of(model_bytes: bytes, frame_NHWC: NDArray[np.uint8], *, threads: int) -> Callable[[], Any]:
    """Return a function that runs a graph in ONNX Runtime on the CPU on these frames, and gives its outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model_bytes, session_options(threads=threads), providers=[CPU])

    def call() -> Any:
        return session.run(None, {"frames": frame_NHWC})

    return call
