"""Where `--train` trains, and what: an interrupted run is gone on with, a finished one is never overwritten."""

from __future__ import annotations

import io
from pathlib import Path
from types import MappingProxyType

import pytest
from PIL import Image
from rich.console import Console

from capgan_benchmarks.demo.config import DemoConfig
from capgan_benchmarks.demo.session import source_of
from capgan_benchmarks.demo.terminal import Narrator
from capgan_benchmarks.demo.weights import next_run_path
from capgan_edge.data.signs import load_signs
from capgan_edge.training import recipes
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.recipes import PACKAGED, RECIPES, Recipe
from capgan_edge.training.victim import VictimConfig


def test_a_finished_run_is_left_and_an_unfinished_one_is_taken_up(tmp_path: Path) -> None:
    assert next_run_path("signs-demo", tmp_path).name == "demo-signs-demo-1"
    unfinished = tmp_path / "demo-signs-demo-1" / "purifier"
    unfinished.mkdir(parents=True)
    assert next_run_path("signs-demo", tmp_path) == unfinished.parent
    (unfinished / "last.json").write_text("{}")
    (unfinished / "finished.json").write_text('{"kind": "purifier"}')
    assert next_run_path("signs-demo", tmp_path).name == "demo-signs-demo-2"


def test_the_demo_trains_its_own_recipe_on_the_data_of_the_packaged_pair() -> None:
    config = DemoConfig()
    assert RECIPES[config.recipe].data == RECIPES[config.pair].data
    assert config.pair in PACKAGED
    assert config.recipe not in PACKAGED


def test_weights_from_nothing_are_those_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = load_signs("train", size_px=32, n=60)
    for index, image_HWC in enumerate(drawn.images_NHWC):
        folder = tmp_path / "signs" / "train" / f"class-{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_HWC).save(folder / f"{index}.png")
    tiny = Recipe(
        data=str(tmp_path / "signs"), preset="nano",
        victim=VictimConfig(epochs=1, batch_size=16, units_per_stage=1, num_held_out=4),
        purifier=CapGanConfig(epochs=1, batch_size=16, ndf=4, num_held_out=4, num_watched=4),
    )  # fmt: skip
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": tiny}))
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    made = source_of(DemoConfig(recipe="tiny", is_trained=True), Narrator(Console(file=said)))
    assert made.labels == ("class-0", "class-1")
    assert (tmp_path / "runs" / "demo-tiny-1" / "purifier" / "finished.json").is_file()
    assert "training in runs/demo-tiny-1" in said.getvalue()
