"""Recipes: all that is needed to make a pair of victim and purifier from nothing, as packaged or as the demo's."""

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
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import with_classes
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.checkpoint import read_pointer
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.origin import resumed_device
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.robust_initial import check_initial
from capgan_edge.training.runs import (
    FIRST,
    check_same_victim,
    has_started,
    is_finished,
    load_purifier_run,
    load_victim_run,
    shipped_pointer,
    victim_state,
)
from capgan_edge.training.stored import settings_from
from capgan_edge.training.victim import VictimConfig, train_victim


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstRun:
    """An earlier run of the mode `robust`, which a recipe's purifier is trained further from."""

    preset: str
    purifier: RobustConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Data, victim and purifier of one pair."""

    data: str
    """A source that `capgan_edge.data.load` understands."""
    victim: VictimConfig
    preset: str
    purifier: CapGanConfig | RobustConfig
    """The mode `cap-gan` or the mode `robust`, by its settings."""
    first: FirstRun | None = None
    """What a purifier with `init` of `run` starts from: another run, `RUN/first`."""

    def __post_init__(self) -> None:
        starts_from_run = isinstance(self.purifier, RobustConfig) and self.purifier.init == "run"
        if starts_from_run != (self.first is not None):
            raise ConfigError(
                f"expected a first run together with init 'run' of the mode robust, got {self.first} and "
                f"{self.purifier}"
            )
        if self.first is not None and isinstance(self.purifier, RobustConfig):
            check_initial(self.purifier, preset(self.preset), preset(self.first.preset))

    def runs(self) -> dict[str, tuple[CapGanConfig | RobustConfig, str]]:
        """Return settings and preset of the purifier's runs by the names of their folders, in order of training."""
        first = {} if self.first is None else {FIRST: (self.first.purifier, self.first.preset)}
        return {**first, "purifier": (self.purifier, self.preset)}


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        # Drawn by code: no download. Signs are not mirrored: keep left is not keep right.
        "signs-nano": Recipe(
            data="signs",
            victim=VictimConfig(epochs=8, is_mirrored=False, num_held_out=500),
            preset="nano",
            purifier=CapGanConfig(epochs=6, semantic_epochs=3, learning_rate=2e-3, schedule="one-cycle", ndf=16,
                                  is_mirrored=False, num_held_out=500),
        ),
        # What `demo --train` makes: the same losses on fewer images, for two cores without bf16 and little patience.
        "signs-demo": Recipe(
            data="signs",
            victim=VictimConfig(epochs=5, small_crop_epochs=2, is_mirrored=False, num_held_out=500),
            preset="nano",
            purifier=CapGanConfig(epochs=4, semantic_epochs=3, learning_rate=2e-3, schedule="one-cycle", ndf=16,
                                  is_mirrored=False, num_held_out=6000),
        ),
        # Three epochs of the semantic stage, then one of the whole loss: cycle, GAN and all. Sizes are drawn: what was
        # trained on 8/255 alone undid PGD of 8/255 and neither of 4 nor of 2.
        "cifar10-nano": Recipe(
            data="cifar10-jpeg",
            victim=VictimConfig(epochs=30, small_crop_epochs=14),
            preset="nano",
            purifier=CapGanConfig(epochs=4, semantic_epochs=3, learning_rate=2e-3, schedule="one-cycle", ndf=16,
                                  smallest_epsilon=0.0),
        ),
        # German traffic signs, 43 of them, from photographs: what a camera in a car sees.
        "gtsrb-nano": Recipe(
            data="gtsrb32",
            victim=VictimConfig(epochs=7, small_crop_epochs=4, is_mirrored=False),
            preset="nano",
            purifier=CapGanConfig(epochs=3, semantic_epochs=2, learning_rate=2e-3, schedule="one-cycle", ndf=16,
                                  is_mirrored=False, smallest_epsilon=0.0),
        ),
        # Trained end to end against an attacker who has the gradient of all of it.
        "cifar10-robust-nano": Recipe(
            data="cifar10-jpeg",
            victim=VictimConfig(epochs=30, small_crop_epochs=14),
            preset="robust-nano",
            purifier=RobustConfig(head_epochs=36, head_small_crop_epochs=28, painter_epochs=2, whole_epochs=3,
                                  attacks_head=False, painter_learns_suspicion=False),
        ),
        # What one core without bf16 makes in two and a half hours. Trained at 8/255, measured at 4/255 too. The first
        # run learned to draw few of the 43 classes, and its last stage gave up what the head knew: again, with class
        # maps, and without that stage, which cost clean accuracy here and left no more under attack.
        "gtsrb-robust-nano": Recipe(
            data="gtsrb32",
            victim=VictimConfig(epochs=7, small_crop_epochs=4, is_mirrored=False),
            first=FirstRun(preset="robust-nano",
                           purifier=RobustConfig(head_epochs=7, head_small_crop_epochs=5, painter_epochs=1,
                                                 whole_epochs=1, is_mirrored=False, attacks_head=False,
                                                 painter_learns_suspicion=False)),
            preset="robust-nano-maps",
            purifier=RobustConfig(init="run", head_epochs=1, head_small_crop_epochs=0, learning_rate=0.05,
                                  draw_epochs=2, painter_epochs=1, whole_epochs=0, is_mirrored=False,
                                  painter_learns_suspicion=False),
        ),
    }
)  # fmt: skip
PACKAGED = tuple(name for name in RECIPES if name != "signs-demo")
"""Recipes that packages are made of; not every one of them is in the zoo (`capgan_edge.zoo.names()`)."""


def train_recipe(
    name: str, run_path: Path, *, fabric: Fabric | None = None, is_resumed: bool = False
) -> tuple[Purifier, SimpleResNet, ImageSet]:
    """Train (or, resumed, go on with) `run_path/victim` and `run_path/purifier`; return both and the training images.

    A purifier that is trained further from another one has that in `run_path/first`.

    Without a `fabric` a resumed recipe computes in the precision that it was started with.

    Raises:
        ConfigError: no such recipe; there are runs already and they are not resumed.
        DataError: the recipe's data is not there.
    """
    recipe = recipe_of(name)
    victim_path, first_path, purifier_path = (run_path / kind for kind in ("victim", FIRST, "purifier"))
    started = [path for path in (victim_path, first_path, purifier_path) if has_started(path)]
    if started and not is_resumed:
        raise ConfigError(
            f"expected a new folder, got {run_path}, which holds the run {started[0].name}; --resume it, or name "
            "another with --out"
        )
    train = data.load(recipe.data, "train")
    check_runs(recipe, run_path, len(train.class_names))
    fabric = fabric or _start_fabric(started)
    if not is_finished(victim_path):
        train_victim(recipe.victim, train, victim_path, fabric, is_resumed=victim_path in started, source=recipe.data)
    victim = load_victim_run(victim_path)
    initial: Purifier | None = None
    for kind, (config, preset_name) in recipe.runs().items():
        path = run_path / kind
        if kind != FIRST or not is_finished(path):  # of what is laid there as finished the shipped epoch is enough
            shape = with_classes(preset(preset_name), len(train.class_names))
            run = _purifier_run(recipe, config, shape, victim, train, path, fabric, initial)
            if path in started:
                run.resume()
            trained = run.run()
        initial = _shipped(path, victim) if kind == FIRST else None
    return trained if isinstance(trained, Purifier) else trained.purifier, victim, train


def _shipped(first_path: Path, victim: SimpleResNet) -> Purifier:
    """Return the best epoch's purifier of a first run, which has to be of the victim at hand."""
    purifier, _, checkpoint = load_purifier_run(shipped_pointer(first_path))
    check_same_victim(checkpoint.state.get("victim"), victim_state(victim), first_path)
    return purifier


def check_runs(recipe: Recipe, run_path: Path, num_classes: int) -> None:
    """Raise ConfigError where a folder holds purifiers' runs of other settings than the recipe's, or half of them."""
    for kind, (config, preset_name) in recipe.runs().items():
        path = run_path / kind
        if not has_started(path):
            if kind == FIRST and has_started(run_path / "purifier"):
                raise ConfigError(
                    f"expected {path}, which the recipe's purifier is trained further from, beside "
                    f"{run_path / 'purifier'}, got none: an earlier recipe made it; train in a new folder"
                )
            continue
        purifier, _, checkpoint = load_purifier_run(path)
        shape = with_classes(preset(preset_name), num_classes)
        if purifier.config != shape or settings_from(type(config), checkpoint.state.get("config"), path) != config:
            raise ConfigError(
                f"expected a run of the recipe's settings and of {preset_name}, got {path}, which was made with "
                "others; train in a new folder"
            )


def _purifier_run(
    recipe: Recipe, config: CapGanConfig | RobustConfig, shape: PurifierConfig, victim: SimpleResNet, train: ImageSet,
    path: Path, fabric: Fabric, initial: Purifier | None,
) -> PurifierRun | RobustRun:  # fmt: skip
    identity = victim_state(victim)
    if isinstance(config, RobustConfig):
        return RobustRun(config, shape, victim, identity, train, path, fabric, source=recipe.data, initial=initial)
    return PurifierRun(config, shape, victim, identity, train, path, fabric, source=recipe.data)


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name."""
    if name not in RECIPES:
        raise ConfigError(f"expected a recipe among {', '.join(RECIPES)}, got {name!r}; name one of these")
    return RECIPES[name]


def _start_fabric(started: list[Path]) -> Fabric:
    """Start Fabric as the newest of the runs to resume has it stored, where there are any."""
    if not started:
        return start_fabric()
    state = read_pointer(started[-1] / "last.json")["state"]
    precision, devices = resumed_device(state, started[-1])
    return start_fabric(precision, devices=devices)
