"""Start a run of the mode `robust` from what the command line gives, and tell which mode a run on the disk is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_type_hints

from capgan_edge import data
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import with_classes
from capgan_edge.training.brought import find_victim, own_victim
from capgan_edge.training.checkpoint import load_checkpoint, read_pointer
from capgan_edge.training.device import Precision
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.robust_initial import load_initial
from capgan_edge.training.robust_teacher import lasting_teacher
from capgan_edge.training.runs import check_same_victim, load_purifier_run, run_summary, victim_state
from capgan_edge.training.start import (
    Summary,
    check_same_data,
    fabric_of_run,
    held_out_of,
    preset_of,
    refuse_overwriting,
)
from capgan_edge.training.stored import settings_from

DEFAULT_PRESET = "robust-nano"
_LESS_OF_FEW = ("num_held_out", "num_watched")
"""Settings of which a run of few images stores less than it was asked for."""


def robust_config(settings: Sequence[str], **given: Any) -> RobustConfig:
    """Return the settings of a run from `NAME=VALUE` texts and from what other options gave.

    Raises:
        ConfigError: no such setting, or a value of another type or out of bounds.
    """
    hints = get_type_hints(RobustConfig)
    values = dict(given)
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign or name not in hints or name in given:
            free = ", ".join(sorted(hints.keys() - given.keys()))
            raise ConfigError(f"expected --set NAME=VALUE with a name among {free}, got {text!r:.60}")
        values[name] = _value(name, value, hints[name])
    return RobustConfig(**_with_small_crops(values))


def _with_small_crops(values: dict[str, Any]) -> dict[str, Any]:
    """Let another number of epochs of the head have as large a share on small crops as the default."""
    usual = RobustConfig()
    if "head_epochs" not in values or "head_small_crop_epochs" in values:
        return values
    share = usual.head_small_crop_epochs / usual.head_epochs
    return values | {"head_small_crop_epochs": int(share * max(0, values["head_epochs"]))}


def start_robust(
    config: RobustConfig,
    preset: str | None,
    victim: str,
    weights: Path | None,
    source: str,
    out: Path,
    *,
    init_from: Path | None,
    precision: Precision | None,
    devices: int | None,
    is_resumed: bool,
) -> Summary | None:
    """Train a purifier end to end before a victim, writing to `out`; return the summary (of the first process).

    A resumed run takes its settings, its precision, its processes and, where it holds it, its victim from `out`.
    """
    refuse_overwriting(out, is_resumed)
    train = data.load(source, "train")
    initial = None
    if is_resumed:
        purifier, own, checkpoint = load_purifier_run(out)
        check_same_data(checkpoint.state, train, out)
        teacher = lasting_teacher(config)
        config, shape = settings_from(RobustConfig, checkpoint.state.get("config"), out), purifier.config
        config = replace(config, teacher=teacher or config.teacher)  # the same one may lie elsewhere by now
        module, identity = find_victim(victim, weights, train) if victim else own_victim(own, checkpoint, out)
        check_same_victim(victim_state(own) if own else checkpoint.state["victim"], identity, out)
        fabric = fabric_of_run(checkpoint.state, out, precision, devices)
    else:
        num_held_out = held_out_of(config.num_held_out, train)
        config = replace(config, num_held_out=num_held_out, num_watched=min(config.num_watched, num_held_out),
                         teacher=lasting_teacher(config))  # fmt: skip
        module, identity = find_victim(victim, weights, train)
        shape, initial = _start_of(config, preset, init_from, identity, train)
        fabric = fabric_of_run({}, out, precision, devices)
    run = RobustRun(config, shape, module, identity, train, out, fabric, source=source, initial=initial)
    if is_resumed:
        run.resume()
    run.run()
    return run_summary(out) if fabric.is_global_zero else None


def refuse_other_start(out: Path, settings: Sequence[str], config: RobustConfig, init_from: Path | None) -> None:
    """Raise ConfigError where a `--set` says other than the run to resume, or where it is given another start.

    Args:
        out: the run's folder.
        settings: the NAME=VALUE texts that were given.
        config: what came of them.
        init_from: a purifier's run to start from: what is resumed has started.
    """
    if init_from is not None:
        raise ConfigError(
            f"expected no --init-from beside --resume, got {init_from}; {out} has its start: leave it out"
        )
    stored = read_pointer(out / "last.json")["state"].get("config")
    its = asdict(settings_from(RobustConfig, stored if isinstance(stored, dict) else {}, out))
    for name in (text.partition("=")[0] for text in settings):
        given = getattr(config, name)
        if its[name] == given or (name in _LESS_OF_FEW and given > its[name]):
            continue
        if name == "teacher" and given:
            continue  # compared by its weights, wherever they lie
        raise ConfigError(
            f"expected --set {name}={its[name]}, with which {out} was started, got {name}={given}; leave it out, or "
            "start in a new folder"
        )


def is_robust_run(out: Path) -> bool:
    """Whether a folder holds a run of the mode `robust`."""
    return load_checkpoint(out, "purifier").state.get("mode") == "robust"


def _start_of(
    config: RobustConfig, preset: str | None, init_from: Path | None, victim: Mapping[str, Any], train: ImageSet
) -> tuple[PurifierConfig, Purifier | None]:
    """Return the shape, with a class head for these images, and the weights to start from."""
    if (init_from is not None) != (config.init == "run"):
        raise ConfigError(
            f"expected --init-from RUN together with --set init=run, got init={config.init} and {init_from or 'none'}"
        )
    initial = None if init_from is None else load_initial(init_from, config, victim, train)
    if initial is not None and preset is None:
        return initial.config, initial
    return with_classes(preset_of(preset or DEFAULT_PRESET), len(train.class_names)), initial


def _value(name: str, text: str, hint: Any) -> Any:
    """Return a setting's value from its text; `none` is None where the setting may be."""
    try:
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint is int:
            return int(text)
        if hint is float:
            return float(text)
        if hint == float | None:
            return None if text.lower() == "none" else float(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number"}.get(hint, "a number")
        raise ConfigError(f"expected {name} as {wanted}, got {text!r:.40}; pass --set {name}=VALUE") from None
    return text
