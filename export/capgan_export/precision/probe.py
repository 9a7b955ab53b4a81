"""The probe: real, black, white, noise and attacked frames through a graph, in which nothing may be NaN or infinite.

It looks inside too. A value that overflows in the middle and is clipped later gives finite outputs, and wrong ones.
Shapes: N frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.ort import CPU, session_options
from capgan_export.parity import ProbeFrames
from capgan_export.precision.kept import LARGEST
from capgan_export.precision.rounding import insert_rounding

if TYPE_CHECKING:
    import onnx

_NUM_FRAMES = 8
_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The largest FP16 value that the probe met: what is left up to 65504 is the headroom."""

    value: float
    node: str
    frames: str
    """The kind of frames."""


def probe_frames_for(size_px: tuple[int, int], given: Sequence[ProbeFrames], *, seed: int = 0) -> list[ProbeFrames]:
    """Return the frames that are given (real, attacked), then black, white and noise of the size."""
    shape = (_NUM_FRAMES, *size_px, 3)
    noise_NHWC = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    made = {"black": np.zeros(shape, np.uint8), "white": np.full(shape, 255, np.uint8), "noise": noise_NHWC}
    return [*given, *(ProbeFrames(kind=kind, frames_NHWC=frames, settings={}) for kind, frames in made.items())]


def require_finite(artifact: str, model_bytes: bytes, probes: Sequence[ProbeFrames]) -> Peak | None:
    """Raise where an output, or an FP16 value inside, is NaN or infinite; return the largest FP16 value there was.

    FP16 values are rounded as an FP16 engine does it, which ONNX Runtime on the CPU does not; see `rounding`.

    Raises:
        ArtifactError: naming the kind of frames, the outputs and how many values of them, and the first node.
    """
    session, outputs, node_of = _instrumented(model_bytes)
    peak: Peak | None = None
    for probe in probes:
        num_bad, peak_of = _run(session, outputs, list(node_of), probe.frames_NHWC)
        first = next((node_of[name] for name, value in peak_of.items() if not value <= LARGEST), None)
        if num_bad or first is not None:
            raise _not_finite(artifact, probe.kind, num_bad, first)
        for name, value in peak_of.items():
            if peak is None or value > peak.value:
                peak = Peak(value=value, node=node_of[name], frames=probe.kind)
    return peak


def _not_finite(artifact: str, kind: str, num_bad: dict[str, int], first: str | None) -> ArtifactError:
    came = ", ".join(f"{count} NaN or infinite values in {name}" for name, count in num_bad.items())
    inside = f"a value beyond FP16's {LARGEST:.0f} or NaN, first behind {first}" if first is not None else ""
    return ArtifactError(
        f"{artifact}: expected finite values on {kind} frames, got {' and '.join(filter(None, (came, inside)))}; "
        "keep to FP32 for this model, or train it again with weight decay"
    )


def _run(
    session: Any, outputs: list[str], peaks: list[str], frames_NHWC: NDArray[np.uint8]
) -> tuple[dict[str, int], dict[str, float]]:
    """Return how many values of each bad output are not finite, and the peak of every FP16 value."""
    num_bad = dict.fromkeys(outputs, 0)
    peak_of = dict.fromkeys(peaks, 0.0)
    for start in range(0, len(frames_NHWC), _BATCH):
        batch_NHWC = np.ascontiguousarray(frames_NHWC[start : start + _BATCH])
        values = session.run([*outputs, *peaks], {"frames": batch_NHWC})
        for name, value in zip([*outputs, *peaks], values, strict=True):
            if name in num_bad:
                num_bad[name] += int(np.count_nonzero(~np.isfinite(value)))
            else:
                peak_of[name] = max(peak_of[name], float(value))
    return {name: count for name, count in num_bad.items() if count}, peak_of


def _instrumented(model_bytes: bytes) -> tuple[Any, list[str], dict[str, str]]:
    """Return a session on the rounded twin, its float outputs, and what gives the peak of which node's FP16 value."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, shape_inference

    model = shape_inference.infer_shapes(onnx.load_model_from_string(model_bytes))
    outputs = [o.name for o in model.graph.output if o.type.tensor_type.elem_type == TensorProto.FLOAT]
    node_of = {_add_peak(model.graph, name): node for name, node in insert_rounding(model).items()}
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(threads=1), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"expected a graph that ONNX Runtime loads, but: {detail}; if the victim came as an ONNX file, export it "
            "with opset 17 or newer, where a layer norm is one node, else keep to FP32"
        ) from error
    return session, outputs, node_of


def _add_peak(graph: onnx.GraphProto, name: str) -> str:
    """Give the graph one more output, the largest magnitude of an FP16 value, infinity where one is NaN."""
    from onnx import TensorProto

    graph.node.extend(_peak_nodes(name))
    if not any(tensor.name == "infinity" for tensor in graph.initializer):
        graph.initializer.add(name="infinity", data_type=TensorProto.FLOAT, float_data=[float("inf")])
    output = graph.output.add(name=f"{name}/peak")
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    name_of_peak: str = output.name
    return name_of_peak


def _peak_nodes(name: str) -> Iterator[onnx.NodeProto]:
    from onnx import TensorProto, helper

    yield helper.make_node("Cast", [name], [f"{name}/fp32"], to=TensorProto.FLOAT)
    yield helper.make_node("IsNaN", [f"{name}/fp32"], [f"{name}/is_nan"])
    yield helper.make_node("Abs", [f"{name}/fp32"], [f"{name}/abs"])
    yield helper.make_node("Where", [f"{name}/is_nan", "infinity", f"{name}/abs"], [f"{name}/held"])
    yield helper.make_node("ReduceMax", [f"{name}/held"], [f"{name}/peak"], keepdims=0)
