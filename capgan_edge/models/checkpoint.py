"""Read checkpoints: a JSON pointer and the safetensors that it names, hash checked; nothing is ever unpickled.

`capgan_edge.training.checkpoint` writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor, nn

from capgan_edge.errors import CheckpointError
from capgan_edge.files import sha256_of_bytes

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


def load_checkpoint(path: Path, kind: Kind) -> Checkpoint:
    """Read a pointer file, or a run's folder (its `last.json`); `kind` is what the caller needs.

    Raises:
        CheckpointError: missing, truncated, changed, foreign, a pickle, or a checkpoint of another kind.
    """
    pointer_path = path / "last.json" if path.is_dir() else path
    pointer = read_pointer(pointer_path)
    if pointer["kind"] != kind:
        raise CheckpointError(
            f"{pointer_path}: expected a checkpoint of a {kind}, got one of a {pointer['kind']}; name the run of a "
            f"{kind}"
        )
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
    if _is_pickle(data):
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


def _is_pickle(data: bytes) -> bool:
    """Whether these bytes begin as what `torch.save` or `pickle` write."""
    return data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or data[:4] == b"PK\x03\x04"


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


def read_pointer(path: Path) -> dict[str, Any]:
    """Return a pointer file's JSON, checked: its schema, kind, epoch, state, and the file and hash of its tensors."""
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path}: expected a run's folder or its last.json or best.json, got a bare tensor file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"expected a checkpoint at {path}, but: {error.strerror}; train first, or name another"
        ) from error
    if _is_pickle(text):
        raise CheckpointError(
            f"{path}: expected a run's folder or its last.json or best.json, got a pickle (torch.save) or a zip; a "
            "pickle can run code and is never loaded: train here, or bring a classifier as safetensors with --victim"
        )
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
