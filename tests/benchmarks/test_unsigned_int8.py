"""OpenVINO's INT8: written as unsigned it means what the Q/DQ nodes say; both ways are timed and compared."""

from __future__ import annotations

import numpy as np
import pytest

from capgan_benchmarks.unsigned_int8 import agreement_with_ort, in_openvino, ratio_in_openvino
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.data.signs import load_signs
from capgan_edge.hardware import is_x86, sums_int8_exactly
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.openvino import OpenVinoRunner


@pytest.fixture(scope="module")
def int8(tiny_bundle: Bundle) -> bytes:
    """The tiny pair in INT8, as calibrate makes it."""
    fp32 = tiny_bundle.read_artifact("fp32")
    frames_NHWC = load_signs("train", size_px=16, n=40).images_NHWC
    ranges = measure_ranges(fp32, frames_NHWC, RangeConfig(method="minmax"))
    return int8_from_fp32(fp32, ranges, keep_ends=False).model_bytes


@pytest.mark.skipif(not (is_x86() and sums_int8_exactly()), reason="needs VNNI or AMX: nothing is multiplied in INT8")
def test_unsigned_is_nearer_to_what_the_nodes_say_and_is_what_the_runner_computes(int8: bytes) -> None:
    for row in agreement_with_ort(int8, num=40):
        assert row["unsigned"]["max_abs_logits"] < 0.1 * row["std_logits"]
        assert row["unsigned"]["mean_abs_logits"] <= row["signed"]["mean_abs_logits"]
        assert row["unsigned"]["same_labels_percent"] >= 95
    frames_NHWC = load_signs("test", size_px=16, n=20).images_NHWC
    with OpenVinoRunner(int8) as runner:
        held_NK = runner(frames_NHWC).logits_NK
    np.testing.assert_allclose(held_NK, in_openvino(int8, batch=20, is_unsigned=True)(frames_NHWC), atol=1e-4)


def test_both_are_timed_and_their_ratio_lies_within_its_rounds(int8: bytes) -> None:
    row = ratio_in_openvino(int8, batch=2, num_rounds=2, num_calls=10)
    ratio = row["signed_over_unsigned"]
    assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert (row["n"], row["batch"]) == (20, 2)
    assert min(row["p50_ms"].values()) > 0
