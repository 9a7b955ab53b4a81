"""The systems of the tables, trained where they are not there yet, all with the same budget.

A run that was cut off goes on where it was; one of another budget, victim, network or data is refused, never mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper.plan import PaperConfig, defence_and_weights
from capgan_benchmarks.paper.printed import PAPERS_DATA, PAPERS_RULE
from capgan_benchmarks.paper.systems import (
    BARE,
    System,
    bare_system,
    classifier_from,
    preprocessed_system,
    purified_system,
)
from capgan_benchmarks.paper.victims import Victims
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from capgan_edge.data.images import ImageSet
    from capgan_edge.models.purifier import PurifierConfig
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.defence import Budget
    from capgan_edge.training.victim import VictimConfig

UNTRAINED = (BARE, "jpeg")
"""Rows that there is nothing to train of."""
CLEAN_JPEG_PERCENT = 74.76
"""Clean accuracy behind JPEG in the paper, which does not print its quality (Table I)."""
_JPEG_POINTS = 2.0
"""What JPEG may cost of clean accuracy on other data, where the paper's figure means nothing."""
_NUM_HELD_OUT = 1000
Say = Callable[[str], None]


def system_of(name: str, config: PaperConfig, victims: Victims, train: ImageSet, say: Say) -> System:
    """Return a row's system; what is not trained yet is trained in `config.out/runs/NAME`.

    Raises:
        ConfigError: the run that is there has another budget, victim, network or data.
        TrainingError: a loss became NaN.
    """
    if name == BARE:
        return bare_system(victims.classifier)
    if name == "jpeg":
        return _jpeg(victims, config)
    from capgan_edge.training.runs import load_purifier_run, load_victim_run

    path = config.out / "runs" / name
    if num_epochs_done(name, config, victims, train) < config.epochs:
        say(f"training {name} for {config.epochs} epochs")
        _train(name, config, victims, train, path)
    if shape_of(name, config) is None:
        return bare_system(classifier_from(load_victim_run(path)), name)
    return purified_system(name, load_purifier_run(path)[0], victims.classifier)


def run_config(name: str, config: PaperConfig) -> PurifierRunConfig | VictimConfig:
    """Return the settings by which a row's system is trained."""
    from capgan_edge.defences.catalogue import trainable
    from capgan_edge.training.defence import purifier_config, victim_config
    from capgan_edge.training.losses import LossWeights

    found_name, weights = defence_and_weights(name)
    found = trainable(found_name)
    if found.kind == "victim":
        return victim_config(found, budget_of(config))
    settings: dict[str, Any] = dict(weights)
    return purifier_config(found, budget_of(config), **({"weights": LossWeights(**settings)} if weights else {}))


def budget_of(config: PaperConfig) -> Budget:
    """Return what is the same for every row."""
    from capgan_edge.training.defence import Budget

    return Budget(scale=config.scale, epochs=config.epochs, batch_size=config.batch_size,
                  is_mirrored=config.is_mirrored, seed=config.seed)  # fmt: skip


def shape_of(name: str, config: PaperConfig) -> PurifierConfig | None:
    """Return the shape of a row's network; None for a victim of its own."""
    from capgan_edge.defences.catalogue import trainable
    from capgan_edge.models.presets import preset
    from capgan_edge.training.defence import preset_name

    found = trainable(defence_and_weights(name)[0])
    return preset(preset_name(found, config.scale)) if found.kind == "purifier" else None


def num_epochs_done(name: str, config: PaperConfig, victims: Victims, train: ImageSet) -> int:
    """Return how many epochs of a row's training are there.

    Raises:
        ConfigError: the run that is there has another budget, victim, network or data.
    """
    from capgan_edge.training.checkpoint import read_pointer
    from capgan_edge.training.runs import check_same_victim, has_started, victim_state
    from capgan_edge.training.start import check_same_data

    path = config.out / "runs" / name
    if name in UNTRAINED or not has_started(path):
        return 0
    pointer = read_pointer(path / "last.json")
    state, shape = pointer["state"], shape_of(name, config)
    check_same_data(state, train, path)
    _require_equal(path, "budget", state.get("config"), asdict(_fitted(run_config(name, config), train)))
    if shape is not None:
        f: Any = victims.f
        check_same_victim(state.get("victim"), victim_state(f), path)
        _require_equal(path, "network", state.get("purifier"), asdict(shape))
    return int(pointer["epoch"])


def check_batch(config: PaperConfig, train: ImageSet) -> None:
    """Raise ConfigError, before anything is trained, where the images that are not held out do not fill one batch."""
    from capgan_edge.training.start import held_out_of

    num = len(train) - held_out_of(_NUM_HELD_OUT, train)
    if num < config.batch_size:
        raise ConfigError(f"expected at least one batch of {config.batch_size} images, got {num} of {train.name} that "
                          "are not held out; pass a smaller --batch-size, or more images")  # fmt: skip


def _train(name: str, config: PaperConfig, victims: Victims, train: ImageSet, path: Path) -> None:
    from capgan_edge.training.purifier import PurifierRun
    from capgan_edge.training.runs import has_started, victim_state
    from capgan_edge.training.victim import VictimConfig, train_victim

    wanted, shape, is_begun = _fitted(run_config(name, config), train), shape_of(name, config), has_started(path)
    fabric = _fabric(path, is_begun=is_begun)
    if isinstance(wanted, VictimConfig):
        train_victim(wanted, train, path, fabric, is_resumed=is_begun, source=config.data)
        return
    assert shape is not None
    f: Any = victims.f
    run = PurifierRun(wanted, shape, f, victim_state(f), train, path, fabric, source=config.data)
    if is_begun:
        run.resume()
    run.run()


def _fabric(path: Path, *, is_begun: bool) -> Fabric:
    """Start Fabric, for a run that is gone on with as it was started."""
    from capgan_edge.training.checkpoint import read_pointer
    from capgan_edge.training.device import start_fabric
    from capgan_edge.training.origin import resumed_device

    if not is_begun:
        return start_fabric()
    precision, devices = resumed_device(read_pointer(path / "last.json")["state"], path)
    return start_fabric(precision, devices=devices)


def _fitted(wanted: PurifierRunConfig | VictimConfig, train: ImageSet) -> PurifierRunConfig | VictimConfig:
    """Return the settings with as many images held out as the data has room for."""
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.start import held_out_of

    num = held_out_of(wanted.num_held_out, train)
    if isinstance(wanted, PurifierRunConfig):
        return replace(wanted, num_held_out=num, num_watched=min(wanted.num_watched, num))
    return replace(wanted, num_held_out=num)


def _require_equal(path: Path, what: str, stored: Any, wanted: dict[str, Any]) -> None:
    held, asked = stored if isinstance(stored, dict) else {}, json.loads(json.dumps(wanted))
    if held == asked:
        return
    other = ", ".join(
        f"{key} {held.get(key)!r} for {value!r}" for key, value in asked.items() if held.get(key) != value
    )
    raise ConfigError(f"expected the run in {path} to have the {what} of this table, got {other}; name another folder "
                      f"with --out, or ask for that {what}")  # fmt: skip


def _jpeg(victims: Victims, config: PaperConfig) -> System:
    """Return JPEG at a quality that is chosen on training images that the victim did not see either.

    On the paper's data by the paper's clean accuracy; on others the quality that costs nearest 2 points of it.
    """
    from capgan_benchmarks.threats.crafting import labels_of_frames
    from capgan_edge import data
    from capgan_edge.defences.jpeg import Jpeg, choose_quality
    from capgan_edge.training.batches import split_validation
    from capgan_edge.training.start import held_out_of

    model: Any = victims.classifier.model
    train = data.load(config.data, "train")  # all of it, as the victim had: a part of it is split otherwise
    held_out = split_validation(train, held_out_of(_NUM_HELD_OUT, train), seed=_seed_of(config.victim))[1]
    target, rule = CLEAN_JPEG_PERCENT, PAPERS_RULE
    if not config.data.startswith(PAPERS_DATA):
        bare = 100 * float((labels_of_frames(model, held_out.images_NHWC) == held_out.labels_N).mean())
        target, rule = (
            max(bare - _JPEG_POINTS, 0.0),
            f"the one that costs nearest {_JPEG_POINTS:g} points of f's clean "
            f"accuracy on held-out training images ({bare:.1f} %)",
        )
    found = choose_quality(model, held_out, target)
    settings = {"quality": found.chosen.quality, "rule": rule, "chosen_on": held_out.name, "n": len(held_out),
                "sweep": {str(tried.quality): tried.clean_percent for tried in found.sweep}}  # fmt: skip
    return preprocessed_system("jpeg", Jpeg(found.chosen.quality), settings, victims.classifier)


def _seed_of(victim: str) -> int:
    """Return the seed by which a victim's own held-out images were drawn; packaged ones are of seed 0."""
    from capgan_edge import zoo
    from capgan_edge.training.checkpoint import read_pointer

    if victim in zoo.names():
        return 0
    return int(read_pointer(Path(victim) / "last.json")["state"]["config"]["seed"])
