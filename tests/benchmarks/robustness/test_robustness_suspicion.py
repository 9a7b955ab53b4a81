"""Suspicion as a detector: against scikit-learn's ROC, and thresholds that never raise more alarms than they say."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgan_benchmarks.robustness.suspicion import detected_percent, detection_of, roc_auc
from capgan_edge.errors import DataError

suspicions = st.lists(st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=60).map(
    lambda values: np.array(values, np.float32)
)


@settings(max_examples=200, deadline=None)
@given(clean_N=suspicions, attacked_M=suspicions)
def test_the_area_is_that_of_scikit_learn_also_with_ties(clean_N: np.ndarray, attacked_M: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    is_attacked = np.repeat([0, 1], [len(clean_N), len(attacked_M)])
    wanted = metrics.roc_auc_score(is_attacked, np.concatenate([clean_N, attacked_M]))
    assert roc_auc(clean_N, attacked_M) == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(clean_N=suspicions, attacked_M=suspicions, false_alarms=st.sampled_from([0.01, 0.05, 0.3]))
def test_the_threshold_is_the_best_that_keeps_to_its_false_alarms(
    clean_N: np.ndarray, attacked_M: np.ndarray, false_alarms: float
) -> None:
    allowed = [threshold for threshold in clean_N if (clean_N > threshold).mean() <= false_alarms + 1e-9]
    wanted = max(100 * float((attacked_M > threshold).mean()) for threshold in allowed)
    assert detected_percent(clean_N, attacked_M, false_alarms=false_alarms) == pytest.approx(wanted)


@settings(max_examples=50, deadline=None)
@given(clean_N=suspicions, attacked_M=suspicions)
def test_more_false_alarms_never_detect_less_and_order_alone_counts(
    clean_N: np.ndarray, attacked_M: np.ndarray
) -> None:
    found = detection_of("a", clean_N, attacked_M)
    assert found.detected_percent_at_1 <= found.detected_percent_at_5
    order = {value: rank for rank, value in enumerate(np.unique(np.concatenate([clean_N, attacked_M])))}
    ranks_N, ranks_M = (np.array([order[v] for v in values], np.float64) for values in (clean_N, attacked_M))
    assert detection_of("a", ranks_N, ranks_M) == found


class Case(NamedTuple):
    name: str
    clean: list[float]
    attacked: list[float]
    auc: float
    at_1: float
    at_5: float


CASES = [
    Case("apart", [0.1, 0.2], [0.8, 0.9], 1.0, 100.0, 100.0),
    Case("the wrong way round", [0.8, 0.9], [0.1, 0.2], 0.0, 0.0, 0.0),
    Case("saturated", [1.0, 1.0, 1.0], [1.0, 1.0], 0.5, 0.0, 0.0),
    Case("one alarm in a hundred", [0.1] * 99 + [0.9], [0.5, 0.1], 0.7425, 50.0, 50.0),
    Case("three in a hundred", [0.1] * 97 + [0.9] * 3, [0.5, 0.1], 0.7275, 0.0, 50.0),
    Case("too few for an alarm", [0.1] * 19 + [0.9], [0.5], 0.95, 0.0, 100.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_known_distributions_give_known_figures(case: Case) -> None:
    found = detection_of("int8", np.array(case.clean), np.array(case.attacked))
    assert found.roc_auc == pytest.approx(case.auc)
    assert (found.detected_percent_at_1, found.detected_percent_at_5) == (case.at_1, case.at_5)
    assert (found.system, found.num_clean, found.num_attacked) == ("int8", len(case.clean), len(case.attacked))


@pytest.mark.parametrize("broken", [[], [0.1, float("nan")], [[0.1, 0.2]]], ids=["none", "NaN", "two a frame"])
def test_no_frames_or_no_numbers_are_refused(broken: list[float]) -> None:
    good_N, broken_N = np.array([0.1, 0.2]), np.array(broken, np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"model\.onnx: expected one suspicion .* clean"):
            detection_of("model.onnx", broken_N, good_N)
        with pytest.raises(DataError, match=r"attacked frame"):
            detection_of("model.onnx", good_N, broken_N)
