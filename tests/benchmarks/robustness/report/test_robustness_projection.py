"""t-SNE: the same places twice, neighbours together, and a word where scikit-learn is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from report_records import Page, make_inputs, make_record, tiny_pair

from capgan_benchmarks.robustness.report.neighbours import neighbours
from capgan_benchmarks.robustness.report.projection import projected


def test_two_far_clusters_stay_apart_and_the_places_repeat() -> None:
    pytest.importorskip("sklearn", reason="t-SNE needs scikit-learn (pip install capgan-edge[report])")
    generator = np.random.default_rng(0)
    features_MD = np.concatenate([generator.normal(0, 1, (20, 5)), generator.normal(100, 1, (20, 5))])
    places_M2 = projected(features_MD, seed=7)
    assert np.array_equal(places_M2, projected(features_MD, seed=7))
    own = np.linalg.norm(places_M2[:20] - places_M2[:20].mean(axis=0), axis=1).max()
    assert np.linalg.norm(places_M2[:20].mean(axis=0) - places_M2[20:].mean(axis=0)) > own


def test_points_that_are_all_one_do_not_break_it() -> None:
    pytest.importorskip("sklearn", reason="t-SNE needs scikit-learn (pip install capgan-edge[report])")
    assert projected(np.ones((10, 3)), seed=0).tolist() == [[0, 0]] * 10


def test_without_scikit_learn_the_section_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    record = make_record()
    text = Page(neighbours(record, make_inputs(record))).text
    assert "pip install 'capgan-edge[report]'" in text


def test_the_scatter_shows_each_image_twice_in_each_panel() -> None:
    pytest.importorskip("sklearn", reason="t-SNE needs scikit-learn (pip install capgan-edge[report])")
    record = make_record()
    section = neighbours(record, make_inputs(record, source=tiny_pair()))
    panels = section.split("<figure")[1:]
    assert len(panels) == 3
    for panel in panels:
        assert panel.count("h0") == record.data.n
        assert panel.count("m-2.6") == record.data.n
    assert f"{record.data.n} images, each clean and under FGSM (white-box-victim) at 8/255" in section
