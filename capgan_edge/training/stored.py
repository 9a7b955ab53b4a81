"""Settings read back from a checkpoint: its JSON may come from anybody, so types and bounds come before building."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from capgan_edge.defences.thermometer import MAX_LEVELS
from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.models.victim import MAX_CLASSES, MAX_UNITS

T = TypeVar("T")
LIMITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "units_per_stage": (1, MAX_UNITS), "num_classes": (2, MAX_CLASSES), "num_blocks": (0, 64),
        "end_kernel_px": (1, 63), "num_convs": (1, 64), "levels": (2, MAX_LEVELS),
        "ngf": (1, 4096), "ndf": (1, 4096), "small_crop_px": (4, 4096), "seed": (0, 2**43),
    }
)  # fmt: skip
"""Smallest and largest, of the whole numbers from which networks are built and generators seeded."""
BEFORE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"RobustConfig": MappingProxyType({"attacks_head": False, "painter_learns_suspicion": False})}
)
"""What runs did from before a setting existed, where that is not its default, by the name of the settings' class."""
_ANY_COUNT = (0, 2**31)
_LARGEST = 1e30
"""Of real numbers: beyond it is a rate or a weight of nothing that was ever trained."""


def settings_from(kind: type[T], values: Any, run: object) -> T:
    """Return the settings of a dataclass from what a checkpoint stored; a field that is absent has its default,
    or what was done before there was one.

    Raises:
        CheckpointError: `values` are not settings of this kind, or one is of another type or out of bounds.
    """
    if not isinstance(values, dict):
        raise _refused(run, f"{kind.__name__} as an object", values)
    hints = get_type_hints(kind)
    given = {**BEFORE.get(kind.__name__, {}), **values}
    for name, value in values.items():
        if name not in hints:
            raise _refused(run, f"settings that {kind.__name__} has", name)
        if dataclasses.is_dataclass(hints[name]):
            given[name] = settings_from(hints[name], value, run)
        elif not _is_of(value, hints[name]):
            raise _refused(run, f"{name} of the type {_name_of(hints[name])}", value)
        elif type(value) is int and hints[name] is int:
            checked_count(name, value, run)
    try:
        return kind(**given)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{run}: expected the settings of a run, got others ({error}); train again") from error


def checked_count(name: str, value: Any, run: object) -> int:
    """Return a whole number that a checkpoint stored, within its limits.

    Raises:
        CheckpointError: it is not a whole number, or out of bounds.
    """
    low, high = LIMITS.get(name, _ANY_COUNT)
    if type(value) is not int or not low <= value <= high:
        raise _refused(run, f"{name} as a whole number in [{low}, {high}]", value)
    return value


def check_fits(build: Callable[[], nn.Module], tensors: dict[str, Tensor], prefix: str, run: object) -> None:
    """Raise CheckpointError unless the network that `build` makes has the shapes of the tensors under `prefix.`.

    It is built without memory: settings that ask for more of it than their own file holds never get any.
    """
    with torch.device("meta"):
        wanted = {f"{prefix}.{name}": tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
    if wanted != found:
        name = min(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        raise CheckpointError(
            f"{run}: expected the weights of the network that its settings name, got others ({name[:80]}: "
            f"{wanted.get(name, 'none')} against {found.get(name, 'none')}); the file was changed: train again"
        )


def _is_of(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return any(_is_of(value, one) for one in get_args(hint))
    if hint is float:
        return type(value) in (int, float) and -_LARGEST < value < _LARGEST
    return value is None if hint is type(None) else type(value) is hint


def _name_of(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")


def _refused(run: object, wanted: str, value: Any) -> CheckpointError:
    shown = " ".join(repr(value)[:60].split())
    return CheckpointError(f"{run}: expected {wanted}, got {shown}; the file is of another origin: train again")
