"""What a run was made from and with, as its checkpoints store it: its data, precision, processes and machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.training.device import Precision, precision_of
from capgan_edge.training.machine import machine_state

MAX_DEVICES = 4096


def is_drawn(source: str | Path) -> bool:
    """Whether `capgan_edge.data.load` draws this source (road signs), whatever lies on the disk under its name."""
    return isinstance(source, str) and (source == "signs" or source.startswith("signs:"))


def lasting_source(source: str | Path) -> str:
    """Return the source so that it opens from any folder: an existing path is made absolute, another name stays.

    `signs`, `signs:64` and the names of data sets under CAPGAN_EDGE_DATA are such names.
    """
    if is_drawn(source):
        return str(source)
    try:
        path = Path(source).expanduser()
        return str(path.absolute()) if str(source) and path.exists() else str(source)
    except (OSError, ValueError, RuntimeError):  # what the disk cannot name is no path: `~nobody`, a null, too long
        return str(source)


def origin_state(source: str | Path | None, fabric: Fabric) -> dict[str, Any]:
    """Return what a checkpoint's state says of where the run comes from; no `source` where the images came without."""
    precision = precision_of(fabric)
    origin = {"precision": precision, "devices": fabric.world_size, "machine": machine_state(precision)}
    return origin if source is None else {"source": lasting_source(source), **origin}


def resumed_device(
    state: dict[str, Any], run_path: Path, precision: Precision | None = None, devices: int | None = None
) -> tuple[Precision, int]:
    """Return the precision and the number of processes to go on with: those of the run, where its state has them.

    None (and the precision `auto`) is whatever the run was started with.

    Raises:
        ConfigError: an option contradicts the run, which would no longer be the run that never stopped.
        CheckpointError: the state holds something else under these names.
    """
    its_precision, its_devices = state.get("precision"), state.get("devices")
    if its_precision not in (None, "bf16", "fp32"):
        raise CheckpointError(f"{run_path}: expected a precision of bf16 or fp32, got {its_precision!r}; train again")
    if its_devices is not None and not (type(its_devices) is int and 1 <= its_devices <= MAX_DEVICES):
        raise CheckpointError(
            f"{run_path}: expected devices in [1, {MAX_DEVICES}], got {its_devices!r:.40}; train again"
        )
    if precision not in (None, "auto", its_precision) and its_precision is not None:
        raise contradiction(run_path, "--precision", its_precision, precision)
    if devices not in (None, its_devices) and its_devices is not None:
        raise contradiction(run_path, "--devices", its_devices, devices)
    return its_precision or precision or "auto", its_devices or devices or 1


def contradiction(run_path: Path, option: str, its: object, given: object) -> ConfigError:
    """Return the error of an option that says other than the run to resume."""
    return ConfigError(
        f"expected {option} {its}, with which {run_path} was started, got {given}; leave {option} out, or start in a "
        "new folder"
    )
