"""A robust pair is packaged from its best epoch, before another pair's victim, and loads as the zoo would load it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from capgan_benchmarks import package_runs
from capgan_benchmarks.make_zoo import packaged, pair_from, training_facts, with_kept_victim
from capgan_benchmarks.package_runs import put_first, put_victim
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.recipes import RECIPES, FirstRun, Recipe
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import is_finished, load_purifier_run, load_victim_run, victim_state

CONFIG = RobustConfig(head_epochs=2, head_small_crop_epochs=0, draw_epochs=0, painter_epochs=0, whole_epochs=0,
                      batch_size=16, num_held_out=16, num_watched=8)  # fmt: skip


class FirstIsBest:
    """Stands for the watch on held-out images."""

    def __init__(self) -> None:
        self.pgd10 = iter((30.0, 20.0))

    def percentages(self, model: object, *climbed: object) -> dict[str, float]:
        return {"clean_percent": 50.0, "pgd10_percent": next(self.pgd10)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, signs: ImageSet) -> Path:
    path = tmp_path_factory.mktemp("runs") / "robust"
    put_victim("signs-nano", path / "victim", RECIPES["signs-nano"])
    victim = load_victim_run(path / "victim")
    shape = RobustPurifierConfig(ngf=2, middle_channels=4, feature_channels=6, num_blocks=1, num_classes=20)
    run = RobustRun(CONFIG, shape, victim, victim_state(victim), signs, path / "purifier", start_fabric("fp32"))
    run.watch = FirstIsBest()  # type: ignore[assignment]
    run.run()
    return path


def test_the_package_is_of_the_best_epoch_and_loads(runs: Path) -> None:
    tensors, card = packaged("robust", runs, {"data": "signs"})
    assert (card["mode"], card["epoch"], card["purifier"]["kind"]) == ("robust", 1, "robust")
    assert {name.split(".")[0] for name in tensors} == {"t_ac", "victim"}, "neither optimizer nor unaveraged weights"
    pair = pair_from("robust", tensors, card)
    assert isinstance(pair.purifier, RobustPurifier)
    assert pair.victim(pair.purifier(torch.rand(1, 3, 32, 32))).shape == (1, 20)


def test_the_card_says_whose_victim_it_is(runs: Path) -> None:
    _, card = packaged("robust", runs, {"data": "signs"})
    kept = with_kept_victim("signs-nano", card)
    assert kept["victim_from"]["name"] == "signs-nano"
    assert kept["command"].endswith("make_zoo robust --victim-of signs-nano")
    assert with_kept_victim("signs-nano", card | {"name": "signs-nano"})["command"].endswith("--keep-victim")


def test_a_packaged_purifier_becomes_the_first_run_of_a_recipe_that_goes_on_from_it(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, card = packaged("robust", runs, {"data": "signs", "preset": "robust-nano", "purifier": asdict(CONFIG)})
    monkeypatch.setattr(package_runs, "kept", lambda name: (tensors, card))
    first = FirstRun(preset="robust-nano", purifier=CONFIG)
    recipe = Recipe(data="signs", victim=RECIPES["signs-nano"].victim, preset="robust-nano", first=first,
                    purifier=replace(CONFIG, init="run"))  # fmt: skip
    put_first("robust", tmp_path / "first", recipe)
    assert is_finished(tmp_path / "first")
    purifier, _, checkpoint = load_purifier_run(tmp_path / "first")
    x_BCHW = torch.rand(2, 3, 32, 32)
    expected = pair_from("robust", tensors, card).purifier
    torch.testing.assert_close(purifier(x_BCHW), expected(x_BCHW), rtol=0, atol=0)
    assert checkpoint.epoch == 1, "the best one of two"
    assert training_facts(tmp_path / "first") == card["training"]["purifier"]

    other: list[dict[str, Any]] = [{"purifier": asdict(replace(CONFIG, seed=1))}, {"preset": "robust-small"},
                                   {"first": asdict(first)}]  # fmt: skip
    for changed in other:
        monkeypatch.setattr(
            package_runs, "kept", lambda name, c=changed: (tensors, card | {"recipe": card["recipe"] | c})
        )
        with pytest.raises(ConfigError, match="expected a package that the first run of the recipe robust made"):
            put_first("robust", tmp_path / "another", recipe)
    assert not (tmp_path / "another").exists()
