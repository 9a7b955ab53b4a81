"""A purifier before another classifier: what is scored is that classifier behind the same purifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from capgan_benchmarks import other_victim
from capgan_benchmarks.records import record_name
from capgan_edge import zoo
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ConfigError


def test_each_classifier_is_scored_bare_and_behind_the_same_purifier(tmp_path: Path) -> None:
    pair, other = zoo.load("signs-nano"), zoo.surrogate("signs-nano")
    assert other is not None
    test = load_signs("test", n=40)
    figures = other_victim.before_both(pair, other, test, steps=2, seed=0)
    by_place = {(figure["frames"], figure["system"]): figure for figure in figures}
    assert len(by_place) == 12
    x_NCHW = torch.from_numpy(test.images_NHWC).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        labels_N = other(pair.purifier(x_NCHW)).argmax(1).numpy()
    assert by_place["clean", "f'(T(.))"]["value"] == pytest.approx(100 * (labels_N == test.labels_N).mean())
    for climbed, spared in (("f(T(.))", "f'(T(.))"), ("f'(T(.))", "f(T(.))")):
        held = by_place[f"PGD-2 on {climbed}", climbed]
        assert held["value"] < by_place["clean", climbed]["value"]
        assert held["value"] <= by_place[f"PGD-2 on {climbed}", spared]["value"]
        assert held["settings"]["steps"] == 2
        assert held["interval_95"][0] <= held["value"] <= held["interval_95"][1]


def test_the_record_names_pair_data_and_n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_victim, "ROOT", tmp_path)
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    other_victim.main("signs-nano", num_images=8, steps=1, seed=3)
    (path,) = (tmp_path / "benchmarks" / "results").iterdir()
    record = json.loads(path.read_text())
    assert path.name == record_name("other-victim-signs-nano", record)
    assert (record["pair"], record["n"], record["seed"]) == ("signs-nano", 8, 3)
    assert {figure["n"] for figure in record["figures"]} == {8}


def test_a_pair_without_a_surrogate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "surrogate", lambda name: None)
    with pytest.raises(ConfigError, match="surrogate"):
        other_victim.main("signs-nano", num_images=2, steps=1, seed=0)
