"""Options beside --resume: a run goes on with its own settings, and an option that says otherwise is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from capgan_edge.models.presets import PRESETS, config_kind
from capgan_edge.training.checkpoint import read_pointer
from capgan_edge.training.losses import WEIGHT_PRESETS
from capgan_edge.training.origin import contradiction
from capgan_edge.training.runs import has_started
from capgan_edge.training.stored import settings_from

_SETTING_OF = {"mirror": "is_mirrored"}
_IN_LEVELS = ("smallest_epsilon",)
"""Options in levels of 255 whose settings are in [0, 1]."""
_NAMED: Mapping[str, Mapping[str, Any]] = {"weights": WEIGHT_PRESETS, "preset": PRESETS}
"""Options whose value is the name of several settings."""


def refuse_other_settings(run_path: Path, given: Mapping[str, Any]) -> None:
    """Raise ConfigError where an option contradicts what the run in `run_path` was started with.

    `given` has the options that were really given, by their names; one that the run did not store is not compared.
    """
    if not has_started(run_path):
        return  # that there is nothing to resume is said elsewhere
    state = read_pointer(run_path / "last.json")["state"]
    config = state.get("config")
    its = dict(config) if isinstance(config, dict) else {}
    shape = state.get("purifier")
    if isinstance(shape, dict):  # a shape from before a setting existed is that of its default
        shape = asdict(settings_from(config_kind(shape), shape, run_path))
    its["preset"] = shape
    for option, value in given.items():
        stored = its.get(_SETTING_OF.get(option, option))
        if option in _IN_LEVELS:
            stored = _levels(stored, its.get("epsilon"))
            if stored is not None and math.isclose(stored, value, abs_tol=1e-6):
                continue
        if stored is None:
            continue
        known = {name: _fitted(asdict(settings), stored) for name, settings in _NAMED.get(option, {}).items()}
        if value not in known and value == stored:
            continue
        if isinstance(stored, dict) and value in known and known[value].items() >= stored.items():
            continue  # a run from before a setting existed does not have it
        shown = next((name for name, held in known.items() if held == stored), "of other settings")
        raise contradiction(run_path, f"--{option.replace('_', '-')}", shown if known else stored, value)


def _fitted(settings: dict[str, Any], stored: Any) -> dict[str, Any]:
    """Return a preset's settings with as many classes in its class head as the run has, which are the data's."""
    if settings.get("num_classes") and isinstance(stored, dict) and stored.get("num_classes"):
        return settings | {"num_classes": stored["num_classes"]}
    return settings


def _levels(share: Any, largest: Any) -> float | None:
    """Return a size that a run stored in [0, 1] in levels of 255; a run that has none is of its largest alone."""
    found = largest if share is None else share
    return round(255 * found, 6) if isinstance(found, (int, float)) else None
