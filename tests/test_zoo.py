"""The packaged pairs are what their cards say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from capgan_benchmarks.pair_figures import batched
from capgan_edge import zoo
from capgan_edge.attacks import FGSM
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import CheckpointError, ConfigError

FIGURE_KEYS = {"name", "value", "unit", "n", "seed", "settings", "interval_95", "data", "device"}


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_names_the_n_seed_interval_data_and_device_of_every_figure(name: str) -> None:
    figures = zoo.card(name)["figures"]
    assert figures
    for figure in figures:
        assert figure.keys() == FIGURE_KEYS
        assert figure["n"] > 0
        low, high = figure["interval_95"]
        assert low <= figure["value"] <= high


@pytest.mark.parametrize("name", zoo.names())
def test_a_pair_is_frozen_and_maps_images_to_images_and_logits(name: str) -> None:
    pair = zoo.load(name)
    x_BCHW = torch.rand(2, 3, *pair.size_px)
    purified_BCHW = pair.purifier(x_BCHW)
    assert purified_BCHW.shape == x_BCHW.shape
    assert pair.victim(purified_BCHW).shape == (2, len(pair.labels))
    assert not any(p.requires_grad for module in (pair.purifier, pair.victim) for p in module.parameters())
    assert not pair.purifier.training
    assert not pair.victim.training


def test_the_default_pair_is_packaged() -> None:
    assert zoo.DEFAULT in zoo.names()


def test_signs_nano_saves_signs_that_fgsm_on_the_victim_takes() -> None:
    pair, test = zoo.load("signs-nano"), load_signs("test", n=200)
    x_NCHW = torch.from_numpy(test.images_NHWC).permute(0, 3, 1, 2).float() / 255
    y_N = torch.from_numpy(test.labels_N)
    bare = purified = 0
    for x_BCHW, y_B in zip(batched(x_NCHW), batched(y_N), strict=True):
        a_BCHW = FGSM()(pair.victim, x_BCHW, y_B).images_BCHW
        bare += int((pair.victim(a_BCHW).argmax(1) == y_B).sum())
        purified += int((pair.victim(pair.purifier(a_BCHW)).argmax(1) == y_B).sum())
    assert purified - bare >= 40, f"{bare} of 200 right before, {purified} behind the purifier"


def test_an_unknown_pair_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="signs-nano"):
        zoo.load("signs-huge")


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(zoo.FOLDER / zoo.DEFAULT, tmp_path / zoo.DEFAULT)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    weights = tmp_path / zoo.DEFAULT / zoo.WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="changed"):
        zoo.load()


def test_cards_are_plain_json_without_nan() -> None:
    for name in zoo.names():
        json.dumps(zoo.card(name), allow_nan=False)


@pytest.mark.parametrize("name", zoo.names())
def test_a_surrogate_is_another_classifier_of_the_same_classes(name: str) -> None:
    surrogate, pair = zoo.surrogate(name), zoo.load(name)
    assert surrogate is not None
    x_BCHW = torch.rand(4, 3, *pair.size_px)
    logits_BK = surrogate(x_BCHW)
    assert logits_BK.shape == (4, len(pair.labels))
    assert not torch.allclose(logits_BK, pair.victim(x_BCHW), atol=1e-2)
    assert not surrogate.training
    assert not any(p.requires_grad for p in surrogate.parameters())


def test_a_surrogate_of_other_bytes_than_its_card_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(zoo.FOLDER / "signs-nano", tmp_path / "signs-nano")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    path = tmp_path / "signs-nano" / zoo.SURROGATE_WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(CheckpointError, match="expected SHA-256"):
        zoo.surrogate("signs-nano")
    path.unlink()
    assert zoo.surrogate("signs-nano") is None


def test_pairs_of_the_same_task_share_a_surrogate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("signs-nano", "signs-other"):
        shutil.copytree(zoo.FOLDER / "signs-nano", tmp_path / name)
    (tmp_path / "signs-other" / zoo.SURROGATE_WEIGHTS).unlink()
    shutil.copytree(tmp_path / "signs-other", tmp_path / "elsewhere")
    card = json.loads((tmp_path / "elsewhere" / zoo.CARD).read_text())
    (tmp_path / "elsewhere" / zoo.CARD).write_text(json.dumps(card | {"data": "another"}))
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert zoo.surrogate("signs-other") is not None
    assert zoo.surrogate("elsewhere") is None
