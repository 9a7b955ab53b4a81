"""The probe finds NaN and infinity: in the outputs, and inside, where a clip would hide them."""

from __future__ import annotations

import numpy as np
import pytest
from written_graph import small_graph

from capgan_edge.errors import ArtifactError
from capgan_export.parity import ProbeFrames
from capgan_export.precision.fp16 import fp16_from_fp32
from capgan_export.precision.probe import probe_frames_for, require_finite

SIZE_PX = (4, 4)


def probes(*given: ProbeFrames) -> list[ProbeFrames]:
    return probe_frames_for(SIZE_PX, given)


def test_the_kinds_are_what_was_given_then_black_white_and_the_same_noise() -> None:
    real = ProbeFrames(kind="attacked", frames_NHWC=np.ones((2, 4, 4, 3), np.uint8), settings={})
    made = probes(real)
    assert [probe.kind for probe in made] == ["attacked", "black", "white", "noise"]
    assert [(p.frames_NHWC.min(), p.frames_NHWC.max()) for p in made[1:3]] == [(0, 0), (255, 255)]
    np.testing.assert_array_equal(made[3].frames_NHWC, probes()[2].frames_NHWC)
    assert len(np.unique(made[3].frames_NHWC)) > 100


def test_an_overflow_in_fp16_is_found_with_its_frames_and_its_count() -> None:
    half = fp16_from_fp32(small_graph("h = Mul (x, k)\n p = Neg (h)", "float k = {400}")).model_bytes
    with pytest.raises(ArtifactError) as caught:
        require_finite("model.fp16.onnx", half, probes())
    said = str(caught.value)
    assert "expected finite values on white frames" in said, "400 times 255 is beyond 65504, 400 times 0 is not"
    assert "24 NaN or infinite values in logits" in said, "8 frames of 3 logits"
    assert "first behind h" in said


def test_an_overflow_that_a_clip_hides_is_found_by_its_node() -> None:
    body = "h = Mul (x, k)\n c = Clip (h, lo, hi)\n p = Relu (c)"
    half = fp16_from_fp32(small_graph(body, "float k = {400}, float lo = {0}, float hi = {1}")).model_bytes
    with pytest.raises(ArtifactError, match=r"on white frames, got a value beyond FP16's 65504 or NaN, first behind h"):
        require_finite("model.fp16.onnx", half, probes())


def test_a_nan_that_a_clip_hides_is_found_by_its_node() -> None:
    body = "r = Relu (x)\n h = Div (r, r)\n c = Equal (h, h)\n f = Cast <to = 1> (c)\n p = Relu (f)"
    half = fp16_from_fp32(small_graph(body)).model_bytes
    with pytest.raises(ArtifactError, match=r"on black frames, got a value .* first behind h"):
        require_finite("model.fp16.onnx", half, probes())


def test_an_fp32_graph_is_probed_at_its_outputs() -> None:
    source = small_graph("p = Div (x, x)")
    with pytest.raises(
        ArtifactError, match=r"on black frames, got 24 NaN or infinite values in logits, 8 .* suspicion;"
    ):
        require_finite("model.fp32.onnx", source, probes())
    assert require_finite("model.fp32.onnx", small_graph("p = Mul (x, k)", "float k = {400}"), probes()) is None


def test_where_all_is_finite_the_headroom_comes_back() -> None:
    half = fp16_from_fp32(small_graph("h = Mul (x, k)\n p = Div (h, k)", "float k = {200}")).model_bytes
    peak = require_finite("model.fp16.onnx", half, probes())
    assert peak is not None
    assert (peak.value, peak.node, peak.frames) == (np.float16(200 * 255), "h", "white")
