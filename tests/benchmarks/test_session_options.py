"""A setting turned over changes how long an engine takes, and not what it answers."""

from __future__ import annotations

import numpy as np
import pytest

from capgan_benchmarks.session_options import OPENVINO, ORT, openvino_calls, ort_calls, ratios
from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner


@pytest.fixture(scope="module")
def fp32(tiny_bundle: Bundle) -> bytes:
    """The tiny pair's graph, as export makes it."""
    return tiny_bundle.read_artifact("fp32")


def test_every_setting_gives_the_runners_logits(fp32: bytes) -> None:
    frames_NHWC = load_signs("test", size_px=16, n=20).images_NHWC[:4]
    with OrtRunner(fp32) as runner:
        expected_NK = runner(frames_NHWC).logits_NK
    in_ort, in_openvino = ort_calls(fp32, frames_NHWC), openvino_calls(fp32, frames_NHWC)
    assert list(in_ort) == ["as it ships", *ORT]
    assert list(in_openvino) == ["as it ships", *OPENVINO]
    for call in in_ort.values():
        np.testing.assert_allclose(call()[0], expected_NK, atol=1e-4)
    for call in in_openvino.values():
        np.testing.assert_allclose(call()["logits"], expected_NK, atol=1e-3)


def test_each_is_timed_against_the_first_and_its_ratio_lies_within_its_rounds(fp32: bytes) -> None:
    frames_NHWC = load_signs("test", size_px=16, n=20).images_NHWC[:2]
    rows = ratios(ort_calls(fp32, frames_NHWC), num_rounds=2, num_calls=10)
    assert [row["setting"] for row in rows] == list(ORT)
    for row in rows:
        ratio = row["over_as_it_ships"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert row["n"] == 20
        assert min(row["p50_ms"].values()) > 0
