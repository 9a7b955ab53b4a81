"""Scores of a graph in another precision, against labels that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_once import exported_signs

from capgan_benchmarks.attacked_sets import AttackedSet
from capgan_benchmarks.variants import Variant, labels_of, scored
from capgan_edge.runtime.ort import OrtRunner


def test_lost_and_won_are_counted_against_the_fp32_labels(tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = exported_signs(tmp_path_factory).read_artifact("fp32")
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    with OrtRunner(graph) as runner:
        ours = labels_of(runner, frames)
    fp32 = ours.copy()
    fp32[:3] = (fp32[:3] + 1) % 20  # in FP32 the first three were labelled otherwise
    truth = ours.copy()
    truth[0] = fp32[0]  # the first was right in FP32, the next two are right now
    sets = [AttackedSet(name="PGD-40", knowledge="f", settings={}, x_NCHW=torch.zeros(6, 3, 32, 32), frames_NHWC=frames,
                        labels_N=truth)]  # fmt: skip
    row = scored(Variant(name="v", model_bytes=graph, made={"precision": "fp32"}), sets, {"PGD-40 on f": fp32})
    score = row["scores"][0]
    assert (score["n"], score["lost"], score["won"]) == (6, 1, 2)
    assert score["accuracy"]["percent"] == round(100 * 5 / 6, 3)
    assert score["agreement_with_fp32"]["percent"] == 50.0
    low, high = score["accuracy"]["interval_95"]
    assert low < 83.333 < high
