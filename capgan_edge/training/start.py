"""Start a run from what the command line gives: data, victim, device; refuse what does not fit together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from capgan_edge import data
from capgan_edge.data.gtsrb import is_gtsrb
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import PRESETS
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.batches import SMALLEST_PURIFIER_PX, SMALLEST_VICTIM_PX, check_size
from capgan_edge.training.brought import find_victim, own_victim
from capgan_edge.training.checkpoint import Checkpoint, load_checkpoint
from capgan_edge.training.config import CapGanConfig, PurifierRunConfig
from capgan_edge.training.device import Precision, start_fabric
from capgan_edge.training.losses import WEIGHT_PRESETS
from capgan_edge.training.methods import judges_of, mode_of
from capgan_edge.training.origin import is_drawn, resumed_device
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.runs import (
    FIRST,
    check_same_victim,
    has_started,
    load_purifier_run,
    run_summary,
    victim_state,
)
from capgan_edge.training.stored import check_fits, settings_from
from capgan_edge.training.victim import VictimConfig, train_victim

Summary = dict[str, Any]


def start_victim(
    config: VictimConfig, source: str, out: Path, *, precision: Precision | None, devices: int | None, is_resumed: bool
) -> Summary | None:
    """Train a victim on the train split of `source`, writing to `out`; return the summary (of the first process)."""
    refuse_overwriting(out, is_resumed)
    train = data.load(source, "train")
    check_size(train, smallest_px=SMALLEST_VICTIM_PX)  # here too: a note on small images must not precede the refusal
    config = replace(config, num_held_out=held_out_of(config.num_held_out, train))
    state: dict[str, Any] = {}
    if is_resumed:
        state = load_checkpoint(out, "victim").state
        check_same_data(state, train, out)
        config = settings_from(VictimConfig, state.get("config"), out)
    fabric = fabric_of_run(state, out, precision, devices)
    if fabric.is_global_zero:
        _warn_of_small_images(train)
    train_victim(config, train, out, fabric, is_resumed=is_resumed, source=source)
    return run_summary(out) if fabric.is_global_zero else None


def start_purifier(
    config: PurifierRunConfig,
    preset: str,
    victim: str,
    weights: Path | None,
    source: str,
    out: Path,
    *,
    precision: Precision | None,
    devices: int | None,
    is_resumed: bool,
) -> Summary | None:
    """Train a purifier before a victim on the train split of `source`, writing to `out`; return the summary.

    The kind of the settings says by which method.
    A resumed run takes its settings, its precision, its processes and, where it holds it, its victim from `out`.
    """
    refuse_overwriting(out, is_resumed)
    shape = preset_of(preset)
    train = data.load(source, "train")
    if is_resumed:
        checkpoint, shape, config, own = _resumed(out, train, config)
        module, identity = find_victim(victim, weights, train) if victim else own_victim(own, checkpoint, out)
        check_same_victim(victim_state(own) if own else checkpoint.state["victim"], identity, out)
        fabric = fabric_of_run(checkpoint.state, out, precision, devices)
    else:
        num_held_out = held_out_of(config.num_held_out, train)
        config = replace(config, num_held_out=num_held_out, num_watched=min(config.num_watched, num_held_out))
        module, identity = find_victim(victim, weights, train)
        fabric = fabric_of_run({}, out, precision, devices)
    run = PurifierRun(config, shape, module, identity, train, out, fabric, source=source)
    if is_resumed:
        run.resume()
    run.run()
    return run_summary(out) if fabric.is_global_zero else None


def start_recipe(name: str, out: Path, *, is_resumed: bool) -> Summary:
    """Train a recipe's victim and purifier under `out`; return the summary of each run."""
    from capgan_edge.training.recipes import train_recipe

    train_recipe(name, out, is_resumed=is_resumed)
    runs = {kind: run_summary(out / kind) for kind in ("victim", FIRST, "purifier") if has_started(out / kind)}
    return {"recipe": name, "run": str(out)} | runs


def cap_gan_config(preset: str, weights: str, **settings: Any) -> CapGanConfig:
    """Return the settings of a run: discriminators as wide as the purifier, and the loss weights by name."""
    return CapGanConfig(ndf=preset_of(preset).ngf, weights=WEIGHT_PRESETS[weights], **settings)


def preset_of(name: str) -> PurifierConfig:
    """Return a purifier's preset by the name that an option gave."""
    if name not in PRESETS:
        raise ConfigError(f"expected a preset among {', '.join(PRESETS)}, got {name!r}; name one with --preset")
    return PRESETS[name]


def is_mirrored(wanted: bool | None, source: str) -> bool:
    """Whether to mirror images: as an option says, else all but `signs` and GTSRB (keep left is not keep right)."""
    return not (is_drawn(source) or is_gtsrb(source)) if wanted is None else wanted


def held_out_of(wanted: int, train: ImageSet) -> int:
    """Return how many images to hold out: what the settings say, and of a small data set a tenth."""
    return max(1, min(wanted, len(train) // 10))


def _resumed(
    out: Path, train: ImageSet, given: PurifierRunConfig
) -> tuple[Checkpoint, PurifierConfig, PurifierRunConfig, SimpleResNet | None]:
    """Return what `out` holds of a purifier's run, its settings and shapes checked before anything is built on them."""
    purifier, own, checkpoint = load_purifier_run(out)
    check_same_data(checkpoint.state, train, out)
    mode, wanted = checkpoint.state.get("mode", "cap-gan"), mode_of(given)
    if mode != wanted:
        raise ConfigError(
            f"expected a run of {wanted} in {out}, got one of {mode!r:.40}; resume it with the command that started "
            "it, or start in a new folder"
        )
    config, shape = settings_from(type(given), checkpoint.state.get("config"), out), purifier.config
    for name, build in judges_of(config, shape).items():
        check_fits(build, checkpoint.tensors, name, out)
    return checkpoint, shape, config, own


def check_same_data(state: dict[str, Any], train: ImageSet, out: Path) -> None:
    """Raise ConfigError unless a run goes on with the images that it was started with."""
    if state.get("data") != train.name:
        raise ConfigError(
            f"expected the data that {out} was started with ({state.get('data')!r:.80}), got {train.name}; name it "
            "with --data"
        )


def fabric_of_run(state: dict[str, Any], out: Path, precision: Precision | None, devices: int | None) -> Fabric:
    """Start Fabric as the options say, or as the run to resume was started."""
    its_precision, its_devices = resumed_device(state, out, precision, devices)
    return start_fabric(its_precision, devices=its_devices)


def _warn_of_small_images(train: ImageSet) -> None:
    height_px, width_px = train.size_px
    if min(height_px, width_px) < SMALLEST_PURIFIER_PX:
        Console(stderr=True).print(
            f"note: purifiers take images of at least {SMALLEST_PURIFIER_PX} px and these are {height_px}x{width_px}: "
            "no purifier can be trained before this victim; give larger images to protect it",
            highlight=False,
            soft_wrap=True,
        )


def refuse_overwriting(out: Path, is_resumed: bool) -> None:
    """Raise ConfigError where a new run would overwrite one, or where there is none to resume."""
    is_there = has_started(out)
    if is_there and not is_resumed:
        raise ConfigError(
            f"expected a new folder, got {out}, which holds a run; --resume it, or name another with --out"
        )
    if is_resumed and not is_there:
        raise ConfigError(f"expected a run to resume in {out}, got none; leave --resume out to start one")
