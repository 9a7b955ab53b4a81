"""Ranges of layers' inputs: what each method keeps, checked against the activations themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from small_graph import ENDS, MIDDLE, frames, small_bytes, small_model

from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.errors import ArtifactError, ConfigError

FRAMES = frames(70)
"""Three batches, the last one smaller."""


def inputs_of_layers(model: onnx.ModelProto, frames_NHWC: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return the input of each layer on all frames, in one batch."""
    tensors = {n.name: n.input[0] for n in model.graph.node if n.name in {*MIDDLE, *ENDS}}
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in set(tensors.values())
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    held = dict(zip(names, session.run(names, {"frames": frames_NHWC}), strict=True))
    return {node: held[tensor] for node, tensor in tensors.items()}


def test_minmax_is_the_largest_absolute_value_of_each_layers_input() -> None:
    ranges = measure_ranges(small_bytes(), FRAMES, RangeConfig(method="minmax"))
    seen = inputs_of_layers(small_model(), FRAMES)
    assert ranges.keys() == seen.keys() == {*MIDDLE, *ENDS}
    for node, values in seen.items():
        assert ranges[node] == pytest.approx(float(np.abs(values).max()), rel=1e-5)


@pytest.mark.parametrize("percentile", [90.0, 99.0])
def test_a_percentile_keeps_that_share_of_the_absolute_values(percentile: float) -> None:
    ranges = measure_ranges(small_bytes(), FRAMES, RangeConfig(percentile=percentile))
    for node, values in inputs_of_layers(small_model(), FRAMES).items():
        width = float(np.abs(values).max()) / 1000  # of two bins or so
        assert (np.abs(values) < ranges[node] - width).mean() <= percentile / 100, node
        assert (np.abs(values) < ranges[node] + width).mean() >= percentile / 100, node


def test_entropy_clips_at_most_to_the_maximum_and_never_to_nothing() -> None:
    ranges = measure_ranges(small_bytes(), FRAMES, RangeConfig(method="entropy"))
    seen = inputs_of_layers(small_model(), FRAMES)
    assert all(0 < ranges[node] <= np.abs(seen[node]).max() * 1.001 for node in seen)
    assert any(ranges[node] < np.abs(seen[node]).max() * 0.95 for node in seen), "it clips something"


def test_an_input_that_is_zero_but_for_a_few_values_keeps_them() -> None:
    model = small_model()
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "stem.w")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(0.2), "stem.w"))  # relu kills it
    frames_NHWC = np.full((64, 8, 8, 3), 200, np.uint8)
    frames_NHWC[40, 3, 3] = 0
    ranges = measure_ranges(model.SerializeToString(), frames_NHWC, RangeConfig(percentile=50.0))
    values = inputs_of_layers(model, frames_NHWC)["purifier.a/Conv"]
    assert (np.abs(values) > 0).mean() < 0.5
    assert (ranges["purifier.a/Conv"] > 0) == bool(np.abs(values).max() > 0)


def test_an_input_that_is_always_zero_has_no_range() -> None:
    ranges = measure_ranges(small_bytes(), np.zeros((2, 8, 8, 3), np.uint8), RangeConfig())
    assert ranges["purifier.stem/Conv"] == 0


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    measure_ranges(small_bytes(), FRAMES, RangeConfig())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_weights_that_overflow_are_named(method: Any) -> None:
    model = small_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "stem.w")
    weight.CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), 3e38, np.float32), "stem.w"))
    with pytest.raises(ArtifactError, match="expected finite activations"):
        measure_ranges(model.SerializeToString(), FRAMES, RangeConfig(method=method))


@pytest.mark.parametrize(
    "settings", [{"method": "best"}, {"percentile": 0}, {"percentile": 100.1}, {"percentile": float("nan")},
                 {"num_bins": 1}],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected|percentile"):
        RangeConfig(**settings)
