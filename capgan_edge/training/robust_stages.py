"""The stages of a robust purifier's training, and which epoch belongs to which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capgan_edge.training.robust_config import RobustConfig

StageName = Literal["head", "draw", "painter", "whole"]
OptimizerName = Literal["sgd", "adam"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Consecutive epochs with one objective, one schedule and one optimizer."""

    name: StageName
    first_epoch: int
    num_epochs: int
    learning_rate: float
    """Peak rate."""
    optimizer: OptimizerName


def stages_of(config: RobustConfig) -> list[Stage]:
    """Return the stages that have epochs, in order."""
    wanted: list[tuple[StageName, int, float, OptimizerName]] = [
        ("head", config.head_epochs, config.learning_rate, "sgd"),
        ("draw", config.draw_epochs, config.draw_learning_rate, "adam"),
        ("painter", config.painter_epochs, config.painter_learning_rate, "adam"),
        ("whole", config.whole_epochs, config.whole_learning_rate, "sgd"),
    ]
    stages, first_epoch = [], 0
    for name, num_epochs, rate, optimizer in wanted:
        if num_epochs:
            stages.append(Stage(name=name, first_epoch=first_epoch, num_epochs=num_epochs, learning_rate=rate,
                                optimizer=optimizer))  # fmt: skip
        first_epoch += num_epochs
    return stages


def stage_at(config: RobustConfig, epoch: int) -> Stage:
    """Return the stage of an epoch, counted from 0 over all stages."""
    return next(stage for stage in stages_of(config) if epoch < stage.first_epoch + stage.num_epochs)


def crop_px_at(config: RobustConfig, epoch: int) -> int | None:
    """Return the side of an epoch's crops, or None for the whole image."""
    return config.small_crop_px if epoch < config.head_small_crop_epochs else None


def awp_gamma_at(config: RobustConfig, epoch: int) -> float:
    """Return the AWP of an epoch: 0 in a stage's first `awp_warmup_epochs`, and where the painter is trained alone."""
    stage = stage_at(config, epoch)
    is_on = stage.name in ("head", "whole") and epoch - stage.first_epoch >= config.awp_warmup_epochs
    return config.awp_gamma if is_on else 0.0
