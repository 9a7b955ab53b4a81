"""INT8 against FP32 on the same frames: honest records, bound to both graphs, and refusals of what is too far."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from small_graph import ENDS, MIDDLE, frames, small_bytes

from capgan_calibration.agreement import AgreementConfig, measure_agreement, require_agreement
from capgan_calibration.frames import make_calibration_set
from capgan_calibration.images import ImageRequest, load_images
from capgan_calibration.mixture import mixture_from_text
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import Method, RangeConfig, measure_ranges
from capgan_calibration.scoring import LabelledFrames, Scorer
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.manifest import ParityRecord
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.parity import ProbeFrames
from capgan_export.precision.rounding import ROUNDED, rounded_twin

CLEAN = ProbeFrames(kind="clean", frames_NHWC=frames(64, seed=1), settings={"data": "random"})


def records_of(int8_bytes: bytes, config: AgreementConfig | None = None) -> tuple[ParityRecord, ...]:
    return measure_agreement("model.int8.onnx", int8_bytes, "model.fp32.onnx", small_bytes(), [CLEAN], seed=3,
                             config=config or AgreementConfig())  # fmt: skip


def test_a_graph_agrees_with_itself_and_the_record_names_both() -> None:
    (record,) = records_of(small_bytes())
    assert record.passed
    assert (record.max_abs_logits, record.top1_agreement, record.n, record.seed) == (0, 1, 64, 3)
    assert record.settings["artifact_sha256"] == record.settings["against_sha256"] == sha256_of_bytes(small_bytes())
    require_agreement([record])


def test_ranges_that_clip_everything_fail_and_are_refused_in_one_line() -> None:
    crushed = int8_from_fp32(small_bytes(), dict.fromkeys((*MIDDLE, *ENDS), 1e-4))
    (record,) = records_of(crushed.model_bytes)
    assert not record.passed
    assert record.top1_agreement < 0.9
    with pytest.raises(ArtifactError, match="nothing was written") as error:
        require_agreement([record])
    assert "\n" not in str(error.value)


def test_a_wide_tolerance_does_not_hide_labels_that_changed() -> None:
    crushed = int8_from_fp32(small_bytes(), dict.fromkeys((*MIDDLE, *ENDS), 1e-4))
    (record,) = records_of(crushed.model_bytes, AgreementConfig(max_abs_logits=100))
    assert record.max_abs_logits <= record.tolerance
    assert not record.passed


@pytest.fixture(scope="module")
def halved() -> bytes:
    """INT8 with the rest in FP16."""
    ranges = measure_ranges(small_bytes(), CLEAN.frames_NHWC, RangeConfig(method="minmax"))
    return int8_from_fp32(small_bytes(), ranges, rest="fp16").model_bytes


def logits_of(model_bytes: bytes) -> NDArray[np.float32]:
    with OrtRunner(model_bytes) as runner:
        return runner(CLEAN.frames_NHWC).logits_NK.copy()


def test_the_rest_in_fp16_is_held_against_fp32_with_its_values_rounded(halved: bytes) -> None:
    (record,) = records_of(halved)
    rounded, computed_in_fp32 = (float(np.abs(logits_of(graph) - logits_of(small_bytes())).max())
                                 for graph in (rounded_twin(halved), halved))  # fmt: skip
    assert record.max_abs_logits == pytest.approx(rounded, rel=1e-4)
    assert record.max_abs_logits != pytest.approx(computed_in_fp32, rel=1e-4)
    assert record.settings["arithmetic"] == ROUNDED
    assert record.settings["artifact_sha256"] == sha256_of_bytes(halved)
    assert "arithmetic" not in records_of(small_bytes())[0].settings


def test_the_rest_in_fp16_is_scored_with_its_values_rounded(halved: bytes) -> None:
    frames_ = LabelledFrames(kind="clean", frames_NHWC=CLEAN.frames_NHWC, labels_N=np.zeros(64, np.int64))
    scorer = Scorer(small_bytes(), [frames_])

    def divergence_of(model_bytes: bytes) -> float:
        own, others = (np.exp(logits_of(held).astype(np.float64)) for held in (small_bytes(), model_bytes))
        p_NK, q_NK = (x_NK / x_NK.sum(axis=1, keepdims=True) for x_NK in (own, others))
        return float((p_NK * np.log(p_NK / q_NK)).sum(axis=1).mean())

    assert scorer.score(halved).divergence == pytest.approx(divergence_of(rounded_twin(halved)), rel=1e-3)
    assert scorer.score(halved).divergence != pytest.approx(divergence_of(halved), rel=1e-3)


def test_outputs_that_are_not_finite_are_an_error() -> None:
    model = onnx.load_model_from_string(small_bytes())
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.b")
    bias.CopyFrom(numpy_helper.from_array(np.full(5, np.nan, np.float32), "head.b"))
    with pytest.raises(ArtifactError, match="expected finite outputs on clean frames"):
        records_of(model.SerializeToString())


@pytest.mark.parametrize("method", ["minmax", "percentile", pytest.param("entropy", marks=pytest.mark.slow)])
def test_the_packaged_pair_keeps_its_labels_under_every_method(method: Method, signs_bundle: Bundle) -> None:
    manifest, model_bytes = signs_bundle.manifest, signs_bundle.read_artifact()
    images, check = load_images(ImageRequest(source="signs", size_px=(32, 32), labels=manifest.labels, num_train=64,
                                             num_check=96), print)  # fmt: skip
    held = make_calibration_set(images, mixture_from_text("clean"), None, seed=0)
    ranges = measure_ranges(model_bytes, held.frames_NHWC, RangeConfig(method=method))
    probe = ProbeFrames(kind="clean", frames_NHWC=check.frames_NHWC, settings={"data": check.name})
    graph = int8_from_fp32(model_bytes, ranges)
    (record,) = measure_agreement("model.int8.onnx", graph.model_bytes, "model.fp32.onnx", model_bytes, [probe], seed=0,
                                  config=AgreementConfig())  # fmt: skip
    assert record.passed
    assert record.max_abs_logits > 0
    assert record.top1_agreement >= 0.97
    assert len(graph.quantised) == 45
    assert len(graph.kept) == 5


@pytest.mark.parametrize("settings", [{"top1_clean": 1.1}, {"top1_attacked": -0.1}, {"max_abs_logits": float("inf")}])
def test_limits_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected shares in"):
        AgreementConfig(**settings)
