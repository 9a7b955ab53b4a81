"""Ranges of activations: how large the input of each layer gets on the calibration frames, measured by ONNX Runtime.

Shapes: N frames, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from capgan_calibration.graph_bytes import model_from_bytes
from capgan_calibration.layers import find_layers
from capgan_calibration.progress import tracked
from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError

Method = Literal["minmax", "percentile", "entropy"]
_BATCH = 32
"""Frames at once; the calibrators' histograms follow from it, to a bin."""
_ENTROPY_BINS, _ENTROPY_LEVELS = 1024, 128
"""ONNX Runtime's own 128 bins for 128 levels leave it one candidate: the whole range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeConfig:
    """How a range is drawn from what was seen."""

    method: Method = "percentile"
    percentile: float = 99.999
    """Share of absolute values that is not clipped, in percent; of the method of that name alone."""
    num_bins: int = 2048
    """Of the histogram of each activation; of the method `percentile` alone."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(f"expected a method among {', '.join(get_args(Method))}, got {self.method!r}")
        if not 0 < self.percentile <= 100:
            raise ConfigError(f"percentile is in percent, in (0, 100], got {self.percentile}; "
                              "for the plain maximum take the method minmax")  # fmt: skip
        if self.num_bins < 128:
            raise ConfigError(f"expected at least 128 bins, got {self.num_bins}; the default is 2048")

    @property
    def description(self) -> str:
        """The method with what decides its result, as the cache and the manifest call it."""
        own = {"minmax": "", "percentile": f" {float(self.percentile)!r} of {self.num_bins} bins",
               "entropy": f" of {_ENTROPY_BINS} bins"}[self.method]  # fmt: skip
        return f"{self.method}{own}"


Ranges = Mapping[str, float]
"""For each node that may be quantised the largest absolute value of its input that is not clipped."""


def tool_version() -> str:
    """Return who measures ranges, for the cache and the manifest."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "calibrating", "cpu") from error
    return f"onnxruntime {onnxruntime.__version__}"


def measure_ranges(model_bytes: bytes, frames_NHWC: NDArray[np.uint8], config: RangeConfig) -> dict[str, float]:
    """Run the FP32 graph on the frames and return the range of each layer's input, by node.

    Raises:
        ArtifactError: the graph does not load, has no layer, or an activation is not finite.
    """
    model = model_from_bytes(model_bytes)
    wanted = {name for layer in find_layers(model) for name in layer.nodes if layer.obstacle is None}
    tensor_of_node = {node.name: node.input[0] for node in model.graph.node if node.name in wanted}
    with tempfile.TemporaryDirectory(prefix="capgan-edge-") as folder:
        calibrator = _calibrator(Path(folder), model_bytes, set(tensor_of_node.values()), config)
        for start in tracked(range(0, len(frames_NHWC), _BATCH), "measuring ranges"):
            with _calibrating():
                calibrator.collect_data(_OneBatch(frames_NHWC[start : start + _BATCH]))
        with _calibrating():
            found = calibrator.compute_data()
    largest = _largest_seen(calibrator)
    limits = {tensor: _limit(tensor, found[tensor], largest) for tensor in set(tensor_of_node.values())}
    return {node: limits[tensor] for node, tensor in tensor_of_node.items()}


class _OneBatch:
    """What ONNX Runtime's calibrators read from; one batch at a time, since they keep every activation of a read."""

    def __init__(self, frames_NHWC: NDArray[np.uint8]) -> None:
        self._batches = [{"frames": np.ascontiguousarray(frames_NHWC)}]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return self._batches.pop() if self._batches else None


def _calibrator(folder: Path, model_bytes: bytes, tensors: set[str], config: RangeConfig) -> Any:
    """Return one of ONNX Runtime's calibrators on these tensors alone; left alone it takes every layer's output too."""
    import onnxruntime
    from onnxruntime.quantization import calibrate

    from capgan_edge.runtime.ort import CPU, session_options

    source, augmented = folder / "graph.onnx", folder / "augmented.onnx"
    source.write_bytes(model_bytes)
    calibrator: Any
    if config.method == "minmax":
        calibrator = calibrate.MinMaxCalibrater(source, None, str(augmented), symmetric=True)
    elif config.method == "percentile":
        calibrator = calibrate.PercentileCalibrater(source, None, str(augmented), symmetric=True,
                                                    num_bins=config.num_bins, percentile=config.percentile)  # fmt: skip
    else:
        calibrator = calibrate.EntropyCalibrater(source, None, str(augmented), symmetric=True,
                                                 num_bins=_ENTROPY_BINS,
                                                 num_quantized_bins=_ENTROPY_LEVELS)  # fmt: skip
    _, value_infos = calibrator.select_tensors_to_calibrate(calibrator.model)
    calibrator.select_tensors_to_calibrate = lambda model: (tensors, value_infos)
    calibrator.augment_graph()
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        calibrator.infer_session = onnxruntime.InferenceSession(str(augmented), options, providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"expected a graph that ONNX Runtime loads, but: {detail}; export it again with capgan-edge export"
        ) from error
    return calibrator


def _largest_seen(calibrator: Any) -> dict[str, float]:
    """Return the largest absolute value of each tensor, where the method keeps histograms."""
    collector = getattr(calibrator, "collector", None)
    held = {} if collector is None else collector.get_histogram_dict()
    return {tensor: max(abs(float(low)), abs(float(high))) for tensor, (_, _, low, high, *_) in held.items()}


def _limit(tensor: str, found: Any, largest: Mapping[str, float]) -> float:
    """Return the largest absolute value within the range; 0 only where the tensor was 0 on every frame."""
    limit = max(float(np.max(np.abs(value))) for value in found.range_value)
    if limit == 0.0:
        limit = largest.get(tensor, 0.0)  # so full of zeros that the share kept holds nothing else
    if not math.isfinite(limit):
        raise _not_finite(f"got {limit} in {tensor}")
    return limit


def _not_finite(came: str) -> ArtifactError:
    return ArtifactError(
        f"expected finite activations on the calibration frames, {came}; check the weights of purifier and victim with "
        "capgan-edge verify"
    )


@contextlib.contextmanager
def _calibrating() -> Iterator[None]:
    """Keep what the calibrators print off stdout, which belongs to the result, and say in one line what stops them."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of NaN, which is found below
            yield
    except (ValueError, AssertionError, MemoryError) as error:  # histograms over NaN or infinity
        raise _not_finite("but: " + " ".join(str(error).split())[:200]) from error
