"""Suspicion as a detector: against scikit-learn's ROC, and thresholds that never raise more alarms than they say."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgan_benchmarks.robustness.suspicion import detection_of, roc_auc, threshold
from capgan_benchmarks.statistics import wilson_interval_percent
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
    allowed = [value for value in clean_N if (clean_N > value).mean() <= false_alarms + 1e-9]
    wanted = max(int((attacked_M > value).sum()) for value in allowed)
    assert (attacked_M > threshold(clean_N, false_alarms=false_alarms)).sum() == wanted


@settings(max_examples=50, deadline=None)
@given(clean_N=suspicions, attacked_M=suspicions)
def test_more_false_alarms_never_detect_less_and_order_alone_counts(
    clean_N: np.ndarray, attacked_M: np.ndarray
) -> None:
    is_fooled_M = np.arange(len(attacked_M)) % 2 == 0
    found = detection_of("a", clean_N, attacked_M, is_fooled_M=is_fooled_M)
    assert found.at_1.detected.num <= found.at_5.detected.num
    assert found.at_1.unnoticed.num >= found.at_5.unnoticed.num
    order = {value: rank for rank, value in enumerate(np.unique(np.concatenate([clean_N, attacked_M])))}
    ranks_N, ranks_M = (np.array([order[v] for v in values], np.float64) for values in (clean_N, attacked_M))
    assert detection_of("a", ranks_N, ranks_M, is_fooled_M=is_fooled_M) == found


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
    is_fooled_M = np.ones(len(case.attacked), bool)
    found = detection_of("int8", np.array(case.clean), np.array(case.attacked), is_fooled_M=is_fooled_M)
    assert found.roc_auc == pytest.approx(case.auc)
    assert (found.at_1.detected.percent, found.at_5.detected.percent) == (case.at_1, case.at_5)
    assert (found.system, found.num_clean, found.num_attacked) == ("int8", len(case.clean), len(case.attacked))


def test_frames_that_fool_nobody_count_neither_as_caught_attacks_nor_as_unnoticed_ones() -> None:
    clean_N = np.linspace(0, 0.5, 200)
    attacked_M = np.array([0.9] * 6 + [0.48] * 1 + [0.1] * 5)  # what is found at 1 %, at 5 % alone, and at neither
    is_fooled_M = np.array([True] * 1 + [False] * 5 + [True] * 1 + [True] * 3 + [False] * 2)
    found = detection_of("int8", clean_N, attacked_M, is_fooled_M=is_fooled_M)
    assert (found.num_fooling, found.num_attacked) == (5, 12)
    assert [(each.unnoticed.num, each.unnoticed.n) for each in (found.at_1, found.at_5)] == [(4, 12), (3, 12)]
    of_fooling = [each.detected_of_fooling for each in (found.at_1, found.at_5)]
    assert [each and (each.num, each.n) for each in of_fooling] == [(1, 5), (2, 5)]
    assert [(each.detected.num, each.detected.n) for each in (found.at_1, found.at_5)] == [(6, 12), (7, 12)]
    for counted in (found.at_1.unnoticed, found.at_5.unnoticed, *of_fooling, found.at_1.detected):
        assert counted is not None
        assert counted.percent == pytest.approx(100 * counted.num / counted.n)
        assert counted.interval_95 == wilson_interval_percent(counted.num, counted.n)


def test_where_nothing_fools_there_is_no_share_of_what_fools() -> None:
    found = detection_of("int8", np.array([0.1, 0.2]), np.array([0.9, 0.1]), is_fooled_M=np.zeros(2, bool))
    assert found.at_1.detected_of_fooling is found.at_5.detected_of_fooling is None
    assert (found.num_fooling, found.at_1.unnoticed.num, found.at_1.unnoticed.n) == (0, 0, 2)


@pytest.mark.parametrize("broken", [[], [0.1, float("nan")], [[0.1, 0.2]]], ids=["none", "NaN", "two a frame"])
def test_no_frames_or_no_numbers_are_refused(broken: list[float]) -> None:
    good_N, broken_N = np.array([0.1, 0.2]), np.array(broken, np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"model\.onnx: expected one suspicion .* clean"):
            detection_of("model.onnx", broken_N, good_N, is_fooled_M=np.ones(2, bool))
        with pytest.raises(DataError, match=r"attacked frame"):
            detection_of("model.onnx", good_N, broken_N, is_fooled_M=np.ones(broken_N.shape, bool))
