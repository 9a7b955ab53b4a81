"""Train a defence of the paper's tables by its name, all of them with the same budget: the images they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgan_edge.defences.catalogue import CATALOGUE, SCALES, Defence, trainable
from capgan_edge.errors import ConfigError
from capgan_edge.training.checkpoint import read_pointer
from capgan_edge.training.config import PurifierRunConfig
from capgan_edge.training.device import Precision
from capgan_edge.training.methods import CONFIGS
from capgan_edge.training.origin import contradiction
from capgan_edge.training.resumed_options import refuse_other_settings
from capgan_edge.training.runs import has_started
from capgan_edge.training.start import Summary, preset_of, start_purifier, start_victim
from capgan_edge.training.victim import VictimConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What is the same for every defence of a table."""

    scale: str = "nano"
    """Of a purifier's network, and of how fast it is trained: `paper` has the rates of each method's paper."""
    epochs: int = 6
    """Each sees every training image but the held-out ones once an epoch."""
    batch_size: int = 128
    is_mirrored: bool = True
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """By the names that the settings of every method have."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "is_mirrored": self.is_mirrored,
                "seed": self.seed}  # fmt: skip


def start_defence(
    name: str,
    budget: Budget,
    victim: str,
    weights: Path | None,
    source: str,
    out: Path,
    *,
    precision: Precision | None,
    devices: int | None,
    is_resumed: bool,
) -> Summary | None:
    """Start, or go on with, the run of a defence; return the summary with its name (of the first process).

    Raises:
        ConfigError: no such defence or scale, nothing to train of it, another's run to resume, or a victim was named
            for a defence that is one.
    """
    found = trainable(name)
    if is_resumed:
        refuse_other_defence(out, name)
    run: dict[str, Any] = {"precision": precision, "devices": devices, "is_resumed": is_resumed}
    if found.kind == "victim":
        if victim or weights is not None:
            raise ConfigError(f"expected no --victim for {name}, which is a victim of its own, got one; leave it out")
        summary = start_victim(victim_config(found, budget), source, out, **run)
    else:
        config = purifier_config(found, budget)
        summary = start_purifier(config, preset_name(found, budget.scale), victim, weights, source, out, **run)
    return None if summary is None else {"defence": name} | summary


def purifier_config(found: Defence, budget: Budget, **others: Any) -> PurifierRunConfig:
    """Return the settings by which a purifier of the catalogue is trained.

    At the scale `paper` rates, schedule and warm-up are its paper's, which are the defaults. At the others all share a
    peak rate that a few epochs suffice for, and half of CAP-GAN's epochs are its semantic stage.

    Args:
        found: a defence of the kind `purifier`.
        budget: what is the same for all.
        others: any other settings, such as weights with another alpha.
    """
    method = str(found.method)
    shape = preset_of(preset_name(found, budget.scale))
    settings = budget.settings | dict(found.settings) | pace_of(method, budget.scale)
    if method == "cap-gan":
        settings |= {"ndf": shape.ngf, "semantic_epochs": 0 if budget.scale == "paper" else budget.epochs // 2}
    return CONFIGS[method](**settings | others)


def pace_of(method: str, scale: str) -> dict[str, Any]:
    """Return peak rate and schedule of a purifier's method at a scale: its paper's, or those that all share."""
    if scale != "paper":
        return {"learning_rate": 2e-3, "schedule": "one-cycle"}
    usual = CONFIGS[method]()
    return {"learning_rate": usual.learning_rate, "schedule": usual.schedule}


def victim_config(found: Defence, budget: Budget, **others: Any) -> VictimConfig:
    """Return the settings by which a victim of the catalogue is trained: an ordinary victim's, and its own."""
    return VictimConfig(**budget.settings | dict(found.settings) | others)


def preset_name(found: Defence, scale: str) -> str:
    """Return the name of a purifier's shape at a scale."""
    if scale not in SCALES:
        raise ConfigError(f"expected a scale among {', '.join(SCALES)}, got {scale!r:.40}; name one with --scale")
    return found.presets[scale]


def check_resumed(name: str, out: Path, given: Mapping[str, Any]) -> None:
    """Raise ConfigError where a run to resume is another defence's, or was started with other settings than given.

    `given` has the options that were really given, by their names.
    """
    found = trainable(name)
    refuse_other_defence(out, name)
    options = dict(given)
    if "preset" in options:
        options["preset"] = preset_name(found, options["preset"]) if found.kind == "purifier" else None
    refuse_other_settings(out, options)
    if "preset" in given and found.kind == "purifier":
        refuse_other_scale(found, out, given["preset"])


def refuse_other_scale(found: Defence, out: Path, scale: str) -> None:
    """Raise ConfigError where the purifier's run in `out`, of this scale's shape, has another scale's rate or schedule.

    A shape does not tell its scale: APE-GAN has one at all of them, and is trained in two ways.
    """
    if not has_started(out):
        return  # that there is nothing to resume is said elsewhere
    stored = read_pointer(out / "last.json")["state"].get("config")
    its: Mapping[str, Any] = stored if isinstance(stored, dict) else {}

    def has_pace_of(name: str) -> bool:
        return all(its.get(key, value) == value for key, value in pace_of(str(found.method), name).items())

    if not has_pace_of(scale):
        alike = [each for each in SCALES if found.presets[each] == found.presets[scale] and has_pace_of(each)]
        raise contradiction(out, "--scale", " or ".join(alike) or "of other settings", scale)


def refuse_other_defence(out: Path, name: str) -> None:
    """Raise ConfigError where the run in `out`, if there is one, trains another defence."""
    if not has_started(out):
        return  # that there is nothing to resume is said elsewhere
    its = defence_of(read_pointer(out / "last.json"))
    if its != name:
        known = its or "none of the catalogue"
        raise ConfigError(f"expected a run of {name} to resume in {out}, got one of {known}; name that defence, or "
                          "start in a new folder")  # fmt: skip


def defence_of(pointer: Mapping[str, Any]) -> str | None:
    """Return which defence a checkpoint's run trains, by what its pointer file says; None where it is none of them.

    A run of `train purifier` is one of `cap-gan`, and an ordinary victim none.
    """
    state = pointer["state"]
    method = state.get("mode", "cap-gan") if pointer["kind"] == "purifier" else "victim"
    stored = state.get("config")
    rows = [each for each in CATALOGUE.values() if each.method == method]
    if not rows or not isinstance(stored, dict):
        return None
    usual = VictimConfig() if method == "victim" else CONFIGS[method]()
    names = sorted({name for each in rows for name in each.settings})
    its = [stored.get(name, getattr(usual, name)) for name in names]
    return next(
        (each.name for each in rows if [each.settings.get(name, getattr(usual, name)) for name in names] == its), None
    )
