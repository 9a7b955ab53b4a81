"""Recipes from the command line: both runs, never over others, and on from where they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import MappingProxyType

import pytest
from pointers import change, state_of

from capgan_edge.cli import main
from capgan_edge.training import recipes
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.recipes import Recipe
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import is_finished
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
