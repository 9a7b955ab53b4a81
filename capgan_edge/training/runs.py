"""Finished and unfinished runs on the disk: what they trained, and the networks in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.checkpoint import Checkpoint, Kind, load_checkpoint, load_into


def is_finished(run_path: Path) -> bool:
    """Whether a run reached its last epoch."""
    return (run_path / "finished.json").is_file()


def newest_finished(runs_path: Path, kind: Kind) -> Path | None:
    """Return the folder of the newest finished run of a kind anywhere under `runs_path`, or None."""
    found = []
    for path in runs_path.rglob("finished.json"):
        try:
            if json.loads(path.read_text())["kind"] == kind:
                found.append((path.stat().st_mtime, path.parent))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a finished run of ours
    return max(found)[1] if found else None


def victim_state(victim: SimpleResNet) -> dict[str, Any]:
    """Return what a checkpoint stores of a victim beside its tensors."""
    return {"kind": "simple-resnet", "units_per_stage": victim.units_per_stage, "num_classes": victim.num_classes}


def load_victim_run(path: Path) -> SimpleResNet:
    """Return the victim of a run's folder (its last epoch) or pointer file, frozen, in eval mode."""
    checkpoint = load_checkpoint(path, "victim")
    state = checkpoint.state
    try:
        units, num_classes = state["config"]["units_per_stage"], len(state["class_names"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: expected the state of a victim's run, got keys {sorted(state)}") from error
    return _simple_resnet(checkpoint, units, num_classes, str(path))


def load_purifier_run(path: Path) -> tuple[Purifier, SimpleResNet | None, Checkpoint]:
    """Return T_AC, the victim where the run holds it (a brought one stays outside), and the checkpoint."""
    checkpoint = load_checkpoint(path, "purifier")
    state = checkpoint.state
    try:
        config, victim = PurifierConfig(**state["purifier"]), state["victim"]
        purifier = Purifier(config)
        kind = victim["kind"]
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: expected the state of a purifier's run, got keys {sorted(state)}") from error
    load_into(purifier, checkpoint.tensors, "t_ac", str(path))
    purifier.eval().requires_grad_(False)
    if kind != "simple-resnet":
        return purifier, None, checkpoint
    return purifier, _simple_resnet(checkpoint, victim["units_per_stage"], victim["num_classes"], str(path)), checkpoint


def _simple_resnet(checkpoint: Checkpoint, units_per_stage: int, num_classes: int, source: str) -> SimpleResNet:
    victim = SimpleResNet(num_classes, units_per_stage=units_per_stage)
    load_into(victim, checkpoint.tensors, "victim", source)
    return victim.eval().requires_grad_(False)
