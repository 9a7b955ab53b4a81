"""The suspicion threshold: never more false alarms on the half it was tuned on than were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from gate_bundle import INT8
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.gate.threshold import tuned_threshold

suspicions = arrays(np.float32, st.integers(200, 400), elements=st.floats(0, 1, width=32))


@given(suspicions, st.sampled_from([0.01, 0.05, 0.3, 0.99]), st.integers(0, 5))
def test_the_half_that_it_was_tuned_on_has_at_most_the_false_alarms_asked_for(
    suspicion_N: np.ndarray, false_alarms: float, seed: int
) -> None:
    tuned = tuned_threshold(suspicion_N, false_alarms=false_alarms, seed=seed)
    order = np.random.default_rng(seed).permutation(len(suspicion_N))
    assert (suspicion_N[order[::2]] > tuned.threshold).mean() <= false_alarms
    assert tuned.measured_rate == pytest.approx((suspicion_N[order[1::2]] > tuned.threshold).mean())
    assert tuned.n == len(suspicion_N)


def test_on_new_frames_the_expected_rate_is_at_most_the_one_asked_for() -> None:
    rng = np.random.default_rng(0)
    rates = [tuned_threshold(rng.random(220, np.float32), false_alarms=0.02, seed=k).measured_rate for k in range(2000)]
    assert np.mean(rates) <= 0.02
    assert np.mean(rates) > 0.01, "conservative, but not for the sake of it"


def test_too_few_frames_for_the_rate_are_refused_with_the_number_that_does() -> None:
    with pytest.raises(ConfigError, match="at least 198 clean frames"):
        tuned_threshold(np.zeros(196, np.float32), false_alarms=0.01, seed=0)
    assert tuned_threshold(np.linspace(0, 1, 198, dtype=np.float32), false_alarms=0.01, seed=0).measured_rate < 0.05


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="share of false alarms"):
        tuned_threshold(np.zeros(400, np.float32), false_alarms=rate, seed=0)


def test_a_threshold_tuned_in_fp32_is_not_that_of_int8(signs_bundle: Bundle) -> None:
    frames_NHWC = load_signs("test", size_px=32, n=64).images_NHWC
    thresholds = {}
    for name in ("model.fp32.onnx", INT8):
        with OrtRunner(signs_bundle.read_file(name)) as runner:
            suspicion_N = runner(frames_NHWC).suspicion_N
        thresholds[name] = tuned_threshold(suspicion_N, false_alarms=0.1, seed=0).threshold
    assert thresholds["model.fp32.onnx"] != thresholds[INT8]
