"""The attack that a victim is trained on, as the command line names it: `n-fgsm`, or `pgd-K`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from capgan_edge.errors import ConfigError
from capgan_edge.training.checkpoint import read_pointer
from capgan_edge.training.origin import contradiction
from capgan_edge.training.robust_config import attack_steps
from capgan_edge.training.runs import has_started
from capgan_edge.training.stored import settings_from
from capgan_edge.training.victim import VictimConfig


def attack_settings(name: str, epsilon: float | None, *, is_resumed: bool = False) -> dict[str, Any]:
    """Return the settings of `VictimConfig` that an attack's name and size stand for; none of them for an empty name.

    Args:
        name: `n-fgsm`, or `pgd-K` with K steps; empty trains on clean images.
        epsilon: the attack's size in levels of 255; None is the default, 8.
        is_resumed: the run to go on with has its attack, so that a size alone may be compared with it.

    Raises:
        ConfigError: no such attack, or a size without one.
    """
    size = {} if epsilon is None else {"epsilon": epsilon / 255}
    if name:
        steps = attack_steps(name)
        return {"attack_steps": steps or 1, "is_n_fgsm": steps == 0, **size}
    if size and not is_resumed:
        raise ConfigError(f"expected --adversarial ATTACK beside --epsilon, got {epsilon:g} alone; add n-fgsm or pgd-7")
    return size


def refuse_other_attack(run_path: Path, given: Mapping[str, Any]) -> None:
    """Raise ConfigError where an attack contradicts the one that the victim in `run_path` is trained on.

    Raises:
        CheckpointError: the run's settings are not a victim's.
    """
    if not has_started(run_path):
        return  # that there is nothing to resume is said elsewhere
    its = settings_from(VictimConfig, read_pointer(run_path / "last.json")["state"].get("config"), run_path)
    if "attack_steps" in given:
        wanted = replace(its, attack_steps=given["attack_steps"], is_n_fgsm=given["is_n_fgsm"])
        if _name(its) != _name(wanted):
            raise contradiction(run_path, "--adversarial", _name(its), _name(wanted))
    if "epsilon" in given and abs(its.epsilon - given["epsilon"]) > 1e-9:
        raise contradiction(run_path, "--epsilon", f"{255 * its.epsilon:g}", f"{255 * given['epsilon']:g}")


def _name(settings: VictimConfig) -> str:
    if not settings.attack_steps:
        return "of no attack"
    return "n-fgsm" if settings.is_n_fgsm else f"pgd-{settings.attack_steps}"
