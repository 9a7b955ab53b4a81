"""Start a run from what the command line gives: data, victim, device; refuse what does not fit together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from torch import nn

from capgan_edge import data
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CheckpointError, ConfigError, DataError
from capgan_edge.models.presets import preset as preset_config
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.training.checkpoint import Kind, load_checkpoint
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import Precision, start_fabric
from capgan_edge.training.losses import WEIGHT_PRESETS, LossWeights
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.runs import load_purifier_run, load_victim_run, newest_finished, victim_state
from capgan_edge.training.schedule import ScheduleName
from capgan_edge.training.victim import VictimConfig, train_victim

T = TypeVar("T")


def start_victim(
    config: VictimConfig, source: str, out: Path, *, precision: Precision, devices: int, is_resumed: bool
) -> None:
    """Train a victim on the train split of `source`, writing to `out`."""
    _refuse_overwriting(out, is_resumed)
    train = data.load(source, "train")
    config = replace(config, num_held_out=_num_held_out(config.num_held_out, train))
    if is_resumed:
        state = _resumed_state(out, "victim", train)
        config = _stored(out, lambda: VictimConfig(**state["config"]))
    train_victim(config, train, out, start_fabric(precision, devices=devices), is_resumed=is_resumed)


def start_purifier(
    config: CapGanConfig,
    preset: str,
    victim: str,
    weights: Path | None,
    source: str,
    out: Path,
    *,
    precision: Precision,
    devices: int,
    is_resumed: bool,
) -> None:
    """Train a purifier before a victim on the train split of `source`, writing to `out`."""
    _refuse_overwriting(out, is_resumed)
    shape = preset_config(preset)
    train = data.load(source, "train")
    num_held_out = _num_held_out(config.num_held_out, train)
    config = replace(config, num_held_out=num_held_out, num_watched=min(config.num_watched, num_held_out))
    if is_resumed:
        resumed = _resumed_state(out, "purifier", train)
        config = _stored(out, lambda: config_from_state(resumed["config"]))
        shape = _stored(out, lambda: PurifierConfig(**resumed["purifier"]))
    module, state = _victim(victim, weights, train) if victim or not is_resumed else _own_victim(out)
    if is_resumed and state != resumed.get("victim"):
        raise ConfigError(f"expected the victim that {out} was started with ({resumed.get('victim')}), got {state}")
    run = PurifierRun(config, shape, module, state, train, out, start_fabric(precision, devices=devices))
    if is_resumed:
        run.resume()
    run.run()


def cap_gan_config(preset: str, weights: str, **settings: Any) -> CapGanConfig:
    """Return the settings of a run: discriminators as wide as the purifier, and the loss weights by name."""
    if settings["schedule"] not in get_args(ScheduleName):
        raise ConfigError(
            f"expected a schedule among {', '.join(get_args(ScheduleName))}, got {settings['schedule']!r}"
        )
    return CapGanConfig(ndf=preset_config(preset).ngf, weights=WEIGHT_PRESETS[weights], **settings)


def _num_held_out(wanted: int, train: ImageSet) -> int:
    """Hold out what the settings say, and of a small data set a tenth."""
    return max(1, min(wanted, len(train) // 10))


def config_from_state(state: dict[str, Any]) -> CapGanConfig:
    """Return the settings that a checkpoint stored."""
    return CapGanConfig(**{**state, "weights": LossWeights(**state["weights"])})


def _stored(out: Path, read: Callable[[], T]) -> T:
    """Return what `read` makes of a checkpoint's state; its keys are what they are in a file that others may write."""
    try:
        return read()
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{out}: expected the settings of a run, got others ({error}); train again") from error


def _resumed_state(out: Path, kind: Kind, train: ImageSet) -> dict[str, Any]:
    state = load_checkpoint(out, kind).state
    if state.get("data") != train.name:
        raise ConfigError(f"expected the data that {out} was started with ({state.get('data')}), got {train.name}; "
                          "name it with --data")  # fmt: skip
    return state


def _own_victim(out: Path) -> tuple[nn.Module, dict[str, Any]]:
    _, victim, _ = load_purifier_run(out)
    if victim is None:
        raise ConfigError(f"expected --victim: {out} was trained before a victim that is not stored in it")
    return victim, victim_state(victim)


def _victim(spec: str, weights: Path | None, train: ImageSet) -> tuple[nn.Module, dict[str, Any]]:
    from capgan_edge.models.victims import load_victim

    if not spec:
        newest = newest_finished(Path("runs"), "victim")
        if newest is None:
            raise ConfigError("expected a victim: no finished victim's run under ./runs; train one with "
                              "`capgan-edge train victim`, or name one with --victim")  # fmt: skip
        spec = str(newest)
    brought = load_victim(spec, state=weights, size_px=train.size_px)
    if brought.module is None:
        raise ConfigError(
            f"{spec}: expected a victim that converts to torch, got one that can only be exported and run"
        )
    if brought.num_classes != len(train.class_names):
        raise DataError(
            f"expected as many classes as the victim has ({brought.num_classes}), got {len(train.class_names)} in "
            f"{train.name}; name the data that the victim was trained on"
        )
    if brought.labels is not None and brought.labels != train.class_names:
        raise DataError(
            f"expected the victim's labels ({', '.join(brought.labels[:4])}, ...), got those of {train.name} "
            f"({', '.join(train.class_names[:4])}, ...); name the data that the victim was trained on"
        )
    path = Path(spec)
    if path.exists() and path.suffix not in (".onnx", ".pt2"):
        own = load_victim_run(path)
        return own, victim_state(own)
    return brought.module, dict(brought.identity)


def _refuse_overwriting(out: Path, is_resumed: bool) -> None:
    is_there = (out / "last.json").exists()
    if is_there and not is_resumed:
        raise ConfigError(
            f"expected a new folder, got {out}, which holds a run; --resume it, or name another with --out"
        )
    if is_resumed and not is_there:
        raise ConfigError(f"expected a run to resume in {out}, got none; leave --resume out to start one")
