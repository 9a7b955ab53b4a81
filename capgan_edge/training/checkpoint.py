"""Checkpoints: safetensors with a JSON pointer beside them, each written whole or not at all; nothing is unpickled.

A run's folder holds `last.json` and `best.json`. Each names one `epoch-NNNN.safetensors` and its SHA-256, and is
replaced only when that file is complete on the disk: a process killed at any moment leaves the previous pair intact.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor, nn

from capgan_edge.errors import CheckpointError, TrainingError
from capgan_edge.files import sha256_of_bytes, write_atomic, write_json
from capgan_edge.models.checkpoint import (
    SCHEMA,
    Checkpoint,
    Kind,
    load_checkpoint,
    load_into,
    load_tensors,
    read_pointer,
)

__all__ = [
    "SCHEMA",
    "Checkpoint",
    "Kind",
    "best_percent_of",
    "load_checkpoint",
    "load_into",
    "load_optimizer",
    "load_tensors",
    "module_tensors",
    "optimizer_tensors",
    "read_pointer",
    "save_checkpoint",
]


def save_checkpoint(run_path: Path, checkpoint: Checkpoint, *, is_best: bool) -> None:
    """Write the tensors, then the pointers (`best.json`, then `last.json`), then drop tensor files that nobody names.

    Raises:
        TrainingError: a tensor is not finite; nothing is written, so that the checkpoint before stays the last.
        CapganError: the disk is full; the checkpoint before stays the last.
    """
    _check_finite(run_path, checkpoint)
    data = bytes_from_tensors({name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()})
    tensors_path = run_path / f"epoch-{checkpoint.epoch:04d}.safetensors"
    write_atomic(tensors_path, data)
    pointer = {
        "schema": SCHEMA,
        "kind": checkpoint.kind,
        "epoch": checkpoint.epoch,
        "tensors": {"file": tensors_path.name, "sha256": sha256_of_bytes(data)},
        "state": checkpoint.state,
    }
    if is_best:  # first: a process killed in between repeats the epoch, and never leaves last ahead of the best
        write_json(run_path / "best.json", pointer)
    write_json(run_path / "last.json", pointer)
    named = {read_pointer(path)["tensors"]["file"] for path in run_path.glob("*.json") if path.stem in ("last", "best")}
    for path in run_path.glob("epoch-*.safetensors"):
        if path.name not in named:
            path.unlink()
    for path in run_path.glob(".epoch-*.safetensors.*.tmp"):  # of a process that was killed while it wrote
        path.unlink(missing_ok=True)


def _check_finite(run_path: Path, checkpoint: Checkpoint) -> None:
    bad = [name for name, t in checkpoint.tensors.items() if t.is_floating_point() and not bool(t.isfinite().all())]
    if bad:
        raise TrainingError(
            f"expected finite weights after epoch {checkpoint.epoch}, got NaN or infinity in {len(bad)} tensors "
            f"({bad[0]}, ...); the last good checkpoint in {run_path} is kept: train in a new folder at a lower rate"
        )


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Name a module's parameters and buffers under a prefix."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def optimizer_tensors(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name an optimizer's state (moments, step counts) under a prefix; hyperparameters follow from config and step."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{key}": torch.as_tensor(v) for i, entry in state.items() for key, v in entry.items()}


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str, *, may_be_empty: bool = False
) -> None:
    """Restore what `optimizer_tensors` named; `may_be_empty` where the optimizer had made no step yet.

    Raises:
        CheckpointError: there is no state, or state of parameters that the optimizer does not have.
    """
    num_parameters = sum(len(group["params"]) for group in optimizer.param_groups)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(f"{prefix}."):
            index, _, key = name.removeprefix(f"{prefix}.").partition(".")
            if not index.isdecimal() or int(index) >= num_parameters:
                raise CheckpointError(f"expected the state of {num_parameters} parameters, got {name}; train again")
            state.setdefault(int(index), {})[key] = tensor
    if not state and not may_be_empty:
        raise CheckpointError(f"expected the state of the {prefix} to go on from, got weights alone; train again")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def best_percent_of(checkpoint: Checkpoint) -> float:
    """Return the best score that the run had when it wrote the checkpoint, in percent."""
    best = checkpoint.state.get("best_percent")
    if not isinstance(best, int | float):
        raise CheckpointError(f"expected a run's state with its best_percent, got {best!r}; train again")
    return float(best)
