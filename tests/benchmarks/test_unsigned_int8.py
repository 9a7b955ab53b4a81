"""The unsigned twin of an INT8 graph stands for the same values, and both are timed on the same frames."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from capgan_benchmarks.unsigned_int8 import ratio_in_openvino, unsigned_twin
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair
from capgan_export.source import Source


@pytest.fixture(scope="module")
def int8(source: Source) -> bytes:
    """The tiny pair in INT8, as calibrate makes it."""
    fp32 = graph_from_pair(source.purifier, source.victim, size_px=source.size_px, outputs=GraphOutputs(),
                           properties={"precision": "fp32"})  # fmt: skip
    frames_NHWC = load_signs("train", size_px=16, n=40).images_NHWC
    ranges = measure_ranges(fp32, frames_NHWC, RangeConfig(method="minmax"))
    return int8_from_fp32(fp32, ranges, keep_ends=False).model_bytes


def test_the_twin_is_unsigned_in_every_activation_and_means_the_same(int8: bytes) -> None:
    twin = unsigned_twin(int8)
    model = onnx.load_model_from_string(twin)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantisers) > 5
    assert {(held[node.input[2]].dtype, int(held[node.input[2]])) for node in quantisers} == {(np.dtype(np.uint8), 128)}
    weights = [held[node.input[0]].dtype for node in model.graph.node
               if node.op_type == "DequantizeLinear" and node.input[0] in held]  # fmt: skip
    assert set(weights) == {np.dtype(np.int8)}
    frames_NHWC = load_signs("test", size_px=16, n=40).images_NHWC
    with OrtRunner(int8) as ours, OrtRunner(twin) as other:
        np.testing.assert_array_equal(ours(frames_NHWC).logits_NK, other(frames_NHWC).logits_NK)


def test_both_are_timed_and_their_ratio_lies_within_its_rounds(int8: bytes) -> None:
    row = ratio_in_openvino(int8, unsigned_twin(int8), batch=2, num_rounds=2, num_calls=10)
    ratio = row["signed_over_unsigned"]
    assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert (row["n"], row["batch"]) == (20, 2)
    assert min(row["p50_ms"].values()) > 0
    assert row["same_labels_percent"] == 100
