"""Checkpoints: safetensors with a JSON pointer beside them, each written whole or not at all; nothing is unpickled.

A run's folder holds `last.json` and `best.json`. Each names one `epoch-NNNN.safetensors` and its SHA-256, and is
replaced only when that file is complete on the disk: a process killed at any moment leaves the previous pair intact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor, nn

from capgan_edge.errors import CheckpointError, TrainingError
from capgan_edge.files import sha256_of_bytes, write_atomic, write_json

SCHEMA = 1
Kind = Literal["victim", "purifier"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What one pointer file names: tensors by dotted name, and the run's state as plain JSON values."""

    kind: Kind
    epoch: int
    """Epochs completed."""
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    """Config, class names, figures: whatever the loop stored."""


def save_checkpoint(run_path: Path, checkpoint: Checkpoint, *, is_best: bool) -> None:
    """Write the tensors, then the pointer `last.json` (and `best.json`), then drop tensor files that nobody names.

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
    write_json(run_path / "last.json", pointer)
    if is_best:
        write_json(run_path / "best.json", pointer)
    named = {
        _read_pointer(path)["tensors"]["file"] for path in run_path.glob("*.json") if path.stem in ("last", "best")
    }
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


def load_checkpoint(path: Path, kind: Kind) -> Checkpoint:
    """Read a pointer file, or a run's folder (its `last.json`); `kind` is what the caller needs.

    Raises:
        CheckpointError: missing, truncated, changed, foreign, a pickle, or a checkpoint of another kind.
    """
    pointer_path = path / "last.json" if path.is_dir() else path
    pointer = _read_pointer(pointer_path)
    if pointer["kind"] != kind:
        raise CheckpointError(f"{pointer_path}: expected a checkpoint of a {kind}, got one of a {pointer['kind']}")
    named = pointer["tensors"]
    if Path(named["file"]).name != named["file"] or not named["file"].endswith(".safetensors") or "\0" in named["file"]:
        raise CheckpointError(
            f"{pointer_path}: expected tensors beside it, got the path {named['file']!r}; not followed"
        )
    tensors = load_tensors(pointer_path.parent / named["file"], sha256=named["sha256"])
    return Checkpoint(kind=kind, epoch=pointer["epoch"], tensors=tensors, state=pointer["state"])


def load_tensors(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file, checking its hash where one is given."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"expected weights at {path}, but: {error.strerror}; name a .safetensors file") from error
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or data[:4] == b"PK\x03\x04":
        raise CheckpointError(
            f"{path}: expected safetensors, got a pickle (torch.save); it can run code and is never loaded: convert it "
            "where you trust it with safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    if sha256 is not None and sha256_of_bytes(data) != sha256:
        raise CheckpointError(
            f"{path}: expected SHA-256 {sha256[:12]}..., got {sha256_of_bytes(data)[:12]}...; "
            "the file is truncated or was changed: use best.json, or train again"
        )
    try:
        return tensors_from_bytes(data)
    except (SafetensorError, KeyError, ValueError) as error:  # the last two: a type that torch does not have
        raise CheckpointError(f"{path}: expected a safetensors file, got something else or a truncated one") from error


def load_into(module: nn.Module, tensors: dict[str, Tensor], prefix: str, source: str) -> None:
    """Load the tensors under `prefix.` into a module, strictly."""
    state = {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
    try:
        module.load_state_dict(state if prefix else tensors, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source}: expected the weights of this {type(module).__name__}, got others: {detail}"
        ) from error


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


def _read_pointer(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path}: expected a run's folder or its last.json or best.json, got a bare tensor file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"expected a checkpoint at {path}, but: {error.strerror}; train first, or name another"
        ) from error
    try:
        pointer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected the JSON of a checkpoint, got something else or a part of it"
        ) from error
    keys = {"schema", "kind", "epoch", "tensors", "state"}
    if not isinstance(pointer, dict) or not keys <= pointer.keys():
        raise CheckpointError(
            f"{path}: expected a checkpoint of capgan-edge (keys {', '.join(sorted(keys))}), got other JSON; name the "
            "folder of a run"
        )
    if pointer["schema"] != SCHEMA:
        raise CheckpointError(f"{path}: expected schema {SCHEMA}, got {pointer['schema']}; upgrade capgan-edge")
    named = pointer["tensors"]
    is_naming = isinstance(named, dict) and all(isinstance(named.get(key), str) for key in ("file", "sha256"))
    if not is_naming or type(pointer["epoch"]) is not int or not isinstance(pointer["state"], dict):
        raise CheckpointError(
            f"{path}: expected a file and its sha256 under tensors, a whole number of epochs and a state, got others; "
            "use the other pointer of the run, or train again"
        )
    return pointer
