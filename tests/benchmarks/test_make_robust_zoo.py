"""A robust pair is packaged from its best epoch, before another pair's victim, and loads as the zoo would load it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from capgan_benchmarks.make_zoo import packaged, pair_from, put_victim, with_kept_victim
from capgan_edge.data.images import ImageSet
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.recipes import RECIPES
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import load_victim_run, victim_state

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
