"""The systems of the tables, trained where they are not there yet, all with the same budget.

A run that was cut off goes on where it was; a finished one of another budget is refused, never mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper.plan import PaperConfig, defence_and_weights
from capgan_benchmarks.paper.systems import (
    BARE,
    Classifier,
    System,
    bare_system,
    classifier_from,
    preprocessed_system,
    purified_system,
)
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from capgan_edge.data.images import ImageSet
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.defence import Budget
    from capgan_edge.training.victim import VictimConfig

CLEAN_JPEG_PERCENT = 74.76
"""Clean accuracy behind JPEG in the paper, which does not print its quality (Table I)."""
_NUM_SWEPT = 1000
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Victims:
    """The classifier f, frozen, and another one of its kind."""

    f: nn.Module
    name: str
    classifier: Classifier
    surrogate: Classifier | None


def victims_of(config: PaperConfig) -> Victims:
    """Return f and f'.

    Raises:
        CapganError: there is no such packaged pair or run, or f' is f itself.
    """
    from capgan_edge import zoo
    from capgan_edge.training.runs import load_victim_run

    if config.victim in zoo.names():
        f: Any = zoo.load(config.victim).victim
        other: Any = zoo.surrogate(config.victim) if config.surrogate is None else None
    else:
        f, other = load_victim_run(Path(config.victim)), None
    if config.surrogate is not None:
        other = load_victim_run(config.surrogate)
    classifier, surrogate = classifier_from(f), None if other is None else classifier_from(other)
    if surrogate is not None and surrogate.sha256 == classifier.sha256:
        raise ConfigError("expected a surrogate of other weights than the victim, got the victim; train one from "
                          "another seed: capgan-edge train victim --seed 1")  # fmt: skip
    return Victims(f=f, name=Path(config.victim).name, classifier=classifier, surrogate=surrogate)


def system_of(name: str, config: PaperConfig, victims: Victims, train: ImageSet, say: Say) -> System:
    """Return a row's system; what is not trained yet is trained in `config.out/runs/NAME`.

    Raises:
        ConfigError: the run that is there has another budget or victim.
        TrainingError: a loss became NaN.
    """
    if name == BARE:
        return bare_system(victims.classifier)
    if name == "jpeg":
        return _jpeg(victims, train, config)
    from capgan_edge.defences.catalogue import defence

    path = config.out / "runs" / name
    if defence(defence_and_weights(name)[0]).kind == "victim":
        from capgan_edge.training.runs import load_victim_run

        _train_victim(name, config, train, path, say)
        return bare_system(classifier_from(load_victim_run(path)), name)
    from capgan_edge.training.runs import load_purifier_run

    _train_purifier(name, config, victims, train, path, say)
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


def is_trained(name: str, config: PaperConfig) -> bool:
    """Whether there is nothing left to train of a row's system."""
    from capgan_edge.training.runs import is_finished

    return name in (BARE, "jpeg") or is_finished(config.out / "runs" / name)


def _train_victim(name: str, config: PaperConfig, train: ImageSet, path: Path, say: Say) -> None:
    from capgan_edge.training.device import start_fabric
    from capgan_edge.training.victim import VictimConfig, train_victim

    wanted = _fitted(run_config(name, config), train)
    assert isinstance(wanted, VictimConfig)
    if _is_done(path, wanted):
        return
    say(f"training {name} for {config.epochs} epochs")
    train_victim(wanted, train, path, start_fabric(), is_resumed=_is_begun(path), source=config.data)


def _train_purifier(name: str, config: PaperConfig, victims: Victims, train: ImageSet, path: Path, say: Say) -> None:
    from capgan_edge.defences.catalogue import defence
    from capgan_edge.models.presets import preset
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.defence import preset_name
    from capgan_edge.training.device import start_fabric
    from capgan_edge.training.purifier import PurifierRun
    from capgan_edge.training.runs import victim_state

    wanted = _fitted(run_config(name, config), train)
    assert isinstance(wanted, PurifierRunConfig)
    if _is_done(path, wanted):
        return
    say(f"training {name} for {config.epochs} epochs")
    shape = preset(preset_name(defence(defence_and_weights(name)[0]), config.scale))
    f: Any = victims.f
    run = PurifierRun(wanted, shape, f, victim_state(f), train, path, start_fabric(), source=config.data)
    if _is_begun(path):
        run.resume()
    run.run()


def _fitted(wanted: PurifierRunConfig | VictimConfig, train: ImageSet) -> PurifierRunConfig | VictimConfig:
    """Return the settings with as many images held out as the data has room for."""
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.start import held_out_of

    num = held_out_of(wanted.num_held_out, train)
    if isinstance(wanted, PurifierRunConfig):
        return replace(wanted, num_held_out=num, num_watched=min(wanted.num_watched, num))
    return replace(wanted, num_held_out=num)


def _is_begun(path: Path) -> bool:
    from capgan_edge.training.runs import has_started

    return has_started(path)


def _is_done(path: Path, wanted: PurifierRunConfig | VictimConfig) -> bool:
    """Whether the run there is finished.

    Raises:
        ConfigError: it has other settings than wanted.
    """
    from capgan_edge.training.checkpoint import read_pointer
    from capgan_edge.training.runs import is_finished

    if not _is_begun(path):
        return False
    its = read_pointer(path / "last.json")["state"].get("config")
    asked = json.loads(json.dumps(asdict(wanted)))
    if its != asked:
        held = its if isinstance(its, dict) else {}
        other = ", ".join(f"{key} {held.get(key)!r} for {value!r}" for key, value in asked.items()
                          if held.get(key) != value)  # fmt: skip
        raise ConfigError(f"expected the run in {path} to have the budget of this table, got {other}; name another "
                          "folder with --out, or ask for that budget")  # fmt: skip
    return is_finished(path)


def _jpeg(victims: Victims, train: ImageSet, config: PaperConfig) -> System:
    from capgan_edge.defences.jpeg import Jpeg, choose_quality

    model: Any = victims.classifier.model
    chosen = choose_quality(model, train.take(min(_NUM_SWEPT, len(train)), seed=config.seed), CLEAN_JPEG_PERCENT).chosen
    return preprocessed_system("jpeg", Jpeg(chosen.quality), {"quality": chosen.quality}, victims.classifier)
