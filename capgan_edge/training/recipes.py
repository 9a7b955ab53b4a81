"""Recipes: all that is needed to make a packaged pair of victim and purifier from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lightning_fabric import Fabric

from capgan_edge import data
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import preset
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.runs import is_finished, load_victim_run, victim_state
from capgan_edge.training.victim import VictimConfig, train_victim


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Data, victim and purifier of one packaged pair."""

    data: str
    """A source that `capgan_edge.data.load` understands."""
    victim: VictimConfig
    preset: str
    purifier: CapGanConfig


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        # Drawn by code: no download. Signs are not mirrored: keep left is not keep right.
        "signs-nano": Recipe(
            data="signs",
            victim=VictimConfig(epochs=8, is_mirrored=False, num_held_out=500),
            preset="nano",
            purifier=CapGanConfig(epochs=4, semantic_epochs=3, learning_rate=2e-3, discriminator_learning_rate=1e-3,
                                  schedule="one-cycle", ndf=16, is_mirrored=False, num_held_out=500),
        ),
        "cifar10-nano": Recipe(
            data="cifar10-jpeg",
            victim=VictimConfig(epochs=30, small_crop_epochs=14),
            preset="nano",
            purifier=CapGanConfig(epochs=5, semantic_epochs=4, learning_rate=2e-3, discriminator_learning_rate=1e-3,
                                  schedule="one-cycle", ndf=16),
        ),
    }
)  # fmt: skip


def train_recipe(
    name: str, run_path: Path, *, fabric: Fabric | None = None, is_resumed: bool = False
) -> tuple[Purifier, SimpleResNet, ImageSet]:
    """Train (or, resumed, go on with) `run_path/victim` and `run_path/purifier`; return both and the training images.

    Raises:
        ConfigError: no such recipe.
        DataError: the recipe's data is not there.
    """
    if name not in RECIPES:
        raise ConfigError(f"expected a recipe among {', '.join(RECIPES)}, got {name!r}")
    recipe = RECIPES[name]
    fabric = fabric or start_fabric()
    train = data.load(recipe.data, "train")
    victim_path, purifier_path = run_path / "victim", run_path / "purifier"
    if not (is_resumed and is_finished(victim_path)):
        is_started = is_resumed and (victim_path / "last.json").exists()
        train_victim(recipe.victim, train, victim_path, fabric, is_resumed=is_started)
    victim = load_victim_run(victim_path)
    run = PurifierRun(
        recipe.purifier, preset(recipe.preset), victim, victim_state(victim), train, purifier_path, fabric
    )
    if is_resumed and (purifier_path / "last.json").exists():
        run.resume()
    purifier: Purifier = run.run().t_ac
    return purifier, victim, train
