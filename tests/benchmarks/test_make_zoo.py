"""The packaged pairs can be taken up again: the victim for a new purifier, the whole package for new figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from capgan_benchmarks.make_zoo import pair_from, training_facts
from capgan_benchmarks.package_runs import kept, put_victim
from capgan_edge import zoo
from capgan_edge.models.presets import preset
from capgan_edge.models.robust_purifier import with_classes
from capgan_edge.training.recipes import RECIPES
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import is_finished, load_victim_run, victim_state
from capgan_edge.training.stored import settings_from


def test_the_packaged_victim_becomes_a_finished_run_with_its_log(tmp_path: Path) -> None:
    put_victim("signs-nano", tmp_path / "victim", RECIPES["signs-nano"])
    assert is_finished(tmp_path / "victim")
    pair = zoo.load("signs-nano")
    assert victim_state(load_victim_run(tmp_path / "victim")) == victim_state(pair.victim)
    assert training_facts(tmp_path / "victim") == pair.card["training"]["victim"]


def test_a_package_measured_again_is_the_package() -> None:
    tensors, card = kept("signs-nano")
    again, pair = pair_from("signs-nano", tensors, card), zoo.load("signs-nano")
    x_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.victim(again.purifier(x_BCHW)), pair.victim(pair.purifier(x_BCHW)), rtol=0, atol=0)


@pytest.mark.parametrize("name", zoo.names())
def test_the_command_on_a_card_runs_the_recipe_on_the_card(name: str) -> None:
    card, recipe = zoo.card(name), RECIPES[name]
    assert card["command"].startswith(f"python -m capgan_benchmarks.make_zoo {name}")
    assert (card["recipe"]["data"], card["recipe"]["preset"]) == (recipe.data, recipe.preset)
    for part in ("victim", "purifier"):  # a setting that is newer than the card has its default
        wanted = getattr(recipe, part)
        assert settings_from(type(wanted), card["recipe"][part], name) == wanted
    shape = with_classes(preset(recipe.preset), len(card["labels"]))
    assert settings_from(type(shape), card["purifier"], name) == shape
    first = card["recipe"].get("first")
    assert (first is None) == (recipe.first is None)
    if recipe.first is not None:
        assert first["preset"] == recipe.first.preset
        assert settings_from(RobustConfig, first["purifier"], name) == recipe.first.purifier
        assert len(card["training"]["first"]["log"]) == recipe.first.purifier.epochs
