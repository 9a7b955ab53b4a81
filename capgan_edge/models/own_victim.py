"""The victims that are trained here, built again from what their runs stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from capgan_edge.defences.thermometer import MAX_LEVELS, ThermometerResNet
from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.models.victim import SimpleResNet

EncodingName = Literal["pixels", "thermometer"]
"""What a victim's first convolution sees."""


def own_victim(
    num_classes: int, *, units_per_stage: int, encoding: EncodingName = "pixels", levels: int = 16
) -> SimpleResNet:
    """Return a new victim; `levels` are those of the thermometer."""
    if encoding not in get_args(EncodingName):
        raise ConfigError(f"expected an encoding among {', '.join(get_args(EncodingName))}, got {encoding!r}")
    if encoding == "thermometer":
        return ThermometerResNet(num_classes, units_per_stage=units_per_stage, levels=levels)
    return SimpleResNet(num_classes, units_per_stage=units_per_stage)


def encoding_of(stored: Mapping[str, Any], path: object) -> dict[str, Any]:
    """Return `encoding` and `levels` of a victim's stored settings; a run from before they existed has neither.

    Raises:
        CheckpointError: they are not what a run stores.
    """
    encoding, levels = stored.get("encoding", "pixels"), stored.get("levels", 16)
    if encoding not in get_args(EncodingName) or type(levels) is not int or not 2 <= levels <= MAX_LEVELS:
        raise CheckpointError(
            f"{path}: expected an encoding among {', '.join(get_args(EncodingName))} and levels in [2, {MAX_LEVELS}], "
            f"got {encoding!r:.40} and {levels!r:.40}; use the run of a victim as it was written, or train again"
        )
    return {"encoding": encoding, "levels": levels}


def own_identity(victim: SimpleResNet) -> dict[str, Any]:
    """Return the kind of a victim and what it is built from, as checkpoints store it."""
    shape = {"units_per_stage": victim.units_per_stage, "num_classes": victim.num_classes}
    if isinstance(victim, ThermometerResNet):
        return {"kind": "thermometer-resnet", **shape, "levels": victim.levels}
    return {"kind": "simple-resnet", **shape}
