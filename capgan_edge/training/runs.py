"""Finished and unfinished runs on the disk: what they trained, and the networks in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capgan_edge.errors import CapganError, CheckpointError, ConfigError
from capgan_edge.files import write_json
from capgan_edge.models.own_victim import encoding_of, own_identity, own_victim
from capgan_edge.models.presets import config_kind, purifier_from
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.checkpoint import Checkpoint, Kind, load_checkpoint, load_into, read_pointer
from capgan_edge.training.stored import check_fits, checked_count, settings_from

FINISHED = "finished.json"
FIRST = "first"
"""Folder, beside `victim` and `purifier`, of the run that a recipe's purifier is trained further from."""


def is_finished(run_path: Path) -> bool:
    """Whether a run reached its last epoch, and its checkpoint is still there."""
    return (run_path / FINISHED).is_file() and has_started(run_path)


def has_started(run_path: Path) -> bool:
    """Whether a folder holds the checkpoint of a run."""
    return (run_path / "last.json").exists()


def mark_started(run_path: Path) -> None:
    """Forget that an earlier run in this folder was finished: this one has epochs to go."""
    try:
        (run_path / FINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise CapganError(
            f"expected to remove {run_path / FINISHED}, but: {error.strerror}; name another folder"
        ) from error


def mark_finished(run_path: Path, kind: Kind, epochs: int) -> None:
    """Say that the run is finished; a run that was before stays as old as it is."""
    if not (run_path / FINISHED).is_file():
        write_json(run_path / FINISHED, {"kind": kind, "epochs": epochs})


def newest_finished(runs_path: Path, kind: Kind) -> Path | None:
    """Return the folder of the newest finished run of a kind anywhere under `runs_path`, or None.

    A recipe's first run, which its purifier is still to be trained further from, is none.
    """
    found = []
    for path in runs_path.rglob(FINISHED):
        if path.parent.name == FIRST and has_started(path.parent.parent / "victim"):
            continue
        try:
            if json.loads(path.read_text())["kind"] == kind and is_finished(path.parent):
                found.append((path.stat().st_mtime, path.parent))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a finished run of ours
    return max(found)[1] if found else None


def run_summary(run_path: Path) -> dict[str, Any]:
    """Return what a program wants to know of a run: its folder, its epochs, and its last and best rows."""
    last, best = (
        read_pointer(path) if path.exists() else None for path in (run_path / "last.json", run_path / "best.json")
    )
    rows = {name: pointer and {"epoch": pointer["epoch"]} | dict(pointer["state"].get("row", {}))
            for name, pointer in (("last", last), ("best", best))}  # fmt: skip
    return {"run": str(run_path), "is_finished": is_finished(run_path), "epochs": last["epoch"] if last else 0} | rows


def victim_state(victim: SimpleResNet) -> dict[str, Any]:
    """Return what a checkpoint stores of a victim beside its tensors: its shape, and the SHA-256 of its weights."""
    return own_identity(victim) | {"sha256": weights_sha256(victim)}


def check_same_victim(stored: Any, given: Mapping[str, Any], run_path: Path) -> None:
    """Raise ConfigError unless a run goes on before the victim that it was started with.

    What either does not say (a checkpoint without the hash of its victim's weights) is not compared.
    """
    if not isinstance(stored, dict) or "kind" not in stored:
        raise CheckpointError(f"{run_path}: expected the identity of a victim, got {stored!r:.80}; train again")
    other = [key for key in stored if key in given and stored[key] != given[key]]
    if other:
        said = [", ".join(f"{key} {str(one[key])[:12]}" for key in other) for one in (stored, given)]
        raise ConfigError(
            f"expected the victim that {run_path} was started with ({said[0]}), got another ({said[1]}); name that one "
            "with --victim, or start in a new folder"
        )


def load_victim_run(path: Path) -> SimpleResNet:
    """Return the victim of a run's folder (its last epoch) or pointer file, frozen, in eval mode.

    Raises:
        CheckpointError: it is not the checkpoint of a victim, or its settings are out of bounds.
    """
    checkpoint = load_checkpoint(path, "victim")
    state = checkpoint.state
    try:
        config, num_classes = state["config"], len(state["class_names"])
        units, encoding = config["units_per_stage"], encoding_of(config, path)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: expected the state of a victim's run, got keys {sorted(state)}; train again"
        ) from error
    return _own_victim(checkpoint, units, num_classes, path, **encoding)


def shipped_pointer(folder: Path) -> Path:
    """Return the pointer file of what is exported of a run: its best epoch, the last where no best is kept."""
    return next((folder / name for name in ("best.json", "last.json") if (folder / name).is_file()), folder)


def load_purifier_run(path: Path) -> tuple[Purifier, SimpleResNet | None, Checkpoint]:
    """Return T_AC, the victim where the run holds it (a brought one stays outside), and the checkpoint.

    Raises:
        CheckpointError: it is not the checkpoint of a purifier, or its settings are out of bounds.
    """
    checkpoint = load_checkpoint(path, "purifier")
    state = checkpoint.state
    victim = state.get("victim")
    if not isinstance(victim, dict) or "kind" not in victim or "purifier" not in state:
        raise CheckpointError(f"{path}: expected the state of a purifier's run, got keys {sorted(state)}; train again")
    config = settings_from(config_kind(state["purifier"]), state["purifier"], path)
    check_fits(lambda: purifier_from(config), checkpoint.tensors, "t_ac", path)
    purifier = purifier_from(config)
    load_into(purifier, checkpoint.tensors, "t_ac", str(path))
    purifier.eval().requires_grad_(False)
    if victim["kind"] != "simple-resnet":
        return purifier, None, checkpoint
    units, num_classes = victim.get("units_per_stage"), victim.get("num_classes")
    return purifier, _own_victim(checkpoint, units, num_classes, path), checkpoint


def _own_victim(
    checkpoint: Checkpoint, units_per_stage: Any, num_classes: Any, path: Path, **encoding: Any
) -> SimpleResNet:
    units = checked_count("units_per_stage", units_per_stage, path)
    classes = checked_count("num_classes", num_classes, path)
    check_fits(lambda: own_victim(classes, units_per_stage=units, **encoding), checkpoint.tensors, "victim", path)
    victim = own_victim(classes, units_per_stage=units, **encoding)
    load_into(victim, checkpoint.tensors, "victim", str(path))
    return victim.eval().requires_grad_(False)
