"""Recipes from the command line: both runs, never over others, and on from where they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from pointers import change, state_of

from capgan_edge.cli import main
from capgan_edge.errors import ConfigError, TrainingError
from capgan_edge.models.robust_purifier import RobustPurifierConfig
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training import recipes
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.recipes import FirstRun, Recipe
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import is_finished, load_purifier_run, newest_finished
from capgan_edge.training.victim import VictimConfig

Output = pytest.CaptureFixture[str]


@pytest.fixture
def tiny_recipe(photos: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe of one epoch each, from the photos."""
    victim = VictimConfig(epochs=1, batch_size=16, units_per_stage=1, num_held_out=4)
    gan = CapGanConfig(epochs=1, batch_size=16, ndf=4, num_held_out=4, num_watched=4)
    tiny = Recipe(data=str(photos), victim=victim, preset="nano", purifier=gan)
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": tiny}))
    return "tiny"


def test_a_recipe_makes_both_runs_tells_of_them_and_is_not_made_over(
    tiny_recipe: str, photos: Path, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "pair"
    arguments = ["train", "recipe", tiny_recipe, "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["recipe"], summary["run"]) == ("tiny", str(out))
    assert all(summary[kind]["is_finished"] and summary[kind]["epochs"] == 1 for kind in ("victim", "purifier"))
    assert state_of(out / "victim")["source"] == state_of(out / "purifier")["source"] == str(photos)

    before = {path: path.read_bytes() for path in out.rglob("*.json")}
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert "expected a new folder" in message
    assert "--resume it" in message
    assert main([*arguments, "--resume"]) == 0
    assert {path: path.read_bytes() for path in out.rglob("*.json")}.items() >= before.items() - {
        (path, content) for path, content in before.items() if path.name in ("last.json", "best.json")
    }


def test_a_recipe_goes_on_after_its_victim_and_refuses_another(
    tiny_recipe: str, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "pair"
    arguments = ["train", "recipe", tiny_recipe, "-o", str(out), "--resume"]
    assert main(arguments) == 0, "nothing there to go on from: from the start"
    shutil.rmtree(out / "purifier")
    victim = (out / "victim" / "last.json").read_bytes()
    assert main(arguments) == 0
    assert (out / "victim" / "last.json").read_bytes() == victim
    assert is_finished(out / "purifier")
    shutil.rmtree(out / "victim")
    change(out / "purifier", lambda state: state["victim"].update(sha256="0" * 64))
    capsys.readouterr()
    assert main(arguments) == 1
    assert "expected the victim that" in capsys.readouterr().err


def test_a_robust_recipe_has_a_class_head_as_wide_as_its_data(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preset's is of 10 classes; German traffic signs have 43, the photos here fewer."""
    robust = RobustConfig(head_epochs=1, head_small_crop_epochs=0, draw_epochs=0, painter_epochs=0, whole_epochs=0,
                          batch_size=16, num_held_out=4, num_watched=2)  # fmt: skip
    victim = VictimConfig(epochs=1, batch_size=16, units_per_stage=1, num_held_out=4)
    tiny = Recipe(data=str(photos), victim=victim, preset="robust-nano", purifier=robust)
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": tiny}))
    assert main(["train", "recipe", "tiny", "-o", str(tmp_path / "pair")]) == 0
    state = state_of(tmp_path / "pair" / "purifier")
    assert state["purifier"]["num_classes"] == len(state["class_names"]) != 10


SHARED = {"head_small_crop_epochs": 0, "draw_epochs": 0, "painter_epochs": 0, "whole_epochs": 0, "batch_size": 16,
          "num_held_out": 4, "num_watched": 2}  # fmt: skip
STILL = {"learning_rate": 1e-9, "weight_decay": 0.0, "ema_decay": 0.0}


def further_recipe(photos: Path, **settings: Any) -> Recipe:
    """A first run of two epochs, then one of robust-nano-maps that hardly moves."""
    victim = VictimConfig(epochs=1, batch_size=16, units_per_stage=1, num_held_out=4)
    return Recipe(data=str(photos), victim=victim, preset="robust-nano-maps",
                  purifier=RobustConfig(init="run", head_epochs=1, **SHARED, **STILL, **settings),
                  first=FirstRun(preset="robust-nano", purifier=RobustConfig(head_epochs=2, **SHARED)))  # fmt: skip


def test_a_recipe_trains_further_from_the_best_epoch_of_its_first_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": further_recipe(photos)}))
    out = tmp_path / "pair"
    arguments = ["train", "recipe", "tiny", "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [summary[kind]["epochs"] for kind in ("victim", "first", "purifier")] == [1, 2, 1]
    best, further = load_purifier_run(out / "first" / "best.json")[0], load_purifier_run(out / "purifier")
    shapes = [purifier.config for purifier in (best, further[0])]
    assert [shape.class_map_px for shape in shapes if isinstance(shape, RobustPurifierConfig)] == [0, 8]
    for name, parameter in best.named_parameters():
        torch.testing.assert_close(dict(further[0].named_parameters())[name], parameter, rtol=0, atol=1e-6)
    assert further[2].state["initial"] == {"sha256": weights_sha256(best)}
    assert newest_finished(out, "purifier") == out / "purifier"
    first = (out / "first" / "last.json").read_bytes()

    shutil.rmtree(out / "purifier")
    assert newest_finished(out, "purifier") is None, "what is trained further is not what is exported"
    assert main([*arguments, "--resume"]) == 0
    assert (out / "first" / "last.json").read_bytes() == first, "a finished one is left as it is"
    assert main([*arguments, "--resume"]) == 0
    assert state_of(out / "purifier")["initial"] == {"sha256": weights_sha256(best)}


def test_a_recipe_that_was_cut_off_within_its_first_run_ends_as_one_that_was_not(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": further_recipe(photos)}))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main(["train", "recipe", "tiny", "-o", str(whole)]) == 0
    epoch_of = RobustRun._epoch

    def cut_off(run: RobustRun, epoch: int, journal: Any) -> None:
        if epoch == 1:
            raise TrainingError("the power went")
        epoch_of(run, epoch, journal)

    with monkeypatch.context() as patch:
        patch.setattr(RobustRun, "_epoch", cut_off)
        assert main(["train", "recipe", "tiny", "-o", str(cut)]) == 1
    assert not is_finished(cut / "first")
    assert not (cut / "purifier").exists()
    assert main(["train", "recipe", "tiny", "-o", str(cut), "--resume"]) == 0
    for kind in ("first", "purifier"):
        held, expected = (json.loads((path / kind / "last.json").read_text())["tensors"] for path in (cut, whole))
        assert held == expected, kind


def test_runs_of_an_earlier_recipe_are_refused_before_anything_is_trained(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": further_recipe(photos)}))
    out = tmp_path / "pair"
    arguments = ["train", "recipe", "tiny", "-o", str(out), "--resume"]
    assert main(arguments) == 0
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": further_recipe(photos, beta=2.0)}))
    before = {path: path.read_bytes() for path in out.rglob("last.json")}
    capsys.readouterr()
    assert main(arguments) == 1
    assert "expected a run of the recipe's settings and of robust-nano-maps, got" in capsys.readouterr().err
    monkeypatch.setattr(recipes, "RECIPES", MappingProxyType({"tiny": further_recipe(photos)}))
    shutil.rmtree(out / "first")
    assert main(arguments) == 1
    assert "which the recipe's purifier is trained further from, beside" in capsys.readouterr().err
    assert all(path.read_bytes() == held for path, held in before.items() if path.exists())


@pytest.mark.parametrize(
    ("init", "first", "message"),
    [("run", None, "expected a first run together with init 'run'"),
     ("head", FirstRun(preset="robust-nano", purifier=RobustConfig()), "expected a first run together with init"),
     ("run", FirstRun(preset="robust-small", purifier=RobustConfig()), "got ngf 16 for 32, middle_channels 48 for 96")],
)  # fmt: skip
def test_a_recipe_that_starts_from_what_there_is_not_is_refused(
    init: Any, first: FirstRun | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe(data="signs", victim=VictimConfig(), preset="robust-nano-maps", purifier=RobustConfig(init=init),
               first=first)  # fmt: skip
