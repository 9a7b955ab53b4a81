"""Robust runs small enough for a test: 64 images of 20 classes, 3 steps an epoch, six epochs in all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.checkpoint import load_checkpoint
from capgan_edge.training.device import start_fabric
from capgan_edge.training.robust import RobustRun
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import victim_state

Interrupt = Callable[[Fabric, int], None]
STEPS = 3
CONFIG = RobustConfig(head_epochs=2, head_small_crop_epochs=1, draw_epochs=1, painter_epochs=1, whole_epochs=2,
                      batch_size=16, num_held_out=16, num_watched=8, ema_decay=0.5)  # fmt: skip
SHAPE = RobustPurifierConfig(ngf=2, middle_channels=4, feature_channels=6, num_blocks=1, num_classes=20)


class ScriptedWatch:
    """Stands for the watch on held-out images: what it saw is written down, an epoch a row."""

    def __init__(self, rows: list[tuple[float, float]]) -> None:
        self.rows = iter(rows)
        self.x_NCHW = torch.rand(8, 3, 32, 32)

    def percentages(self, model: object, *climbed: object) -> dict[str, float]:
        attacked, pgd10 = next(self.rows)
        return {"attacked_percent": attacked, "clean_percent": 50.0, "pgd10_percent": pgd10}

    def some(self, num_images: int) -> torch.Tensor:
        return self.x_NCHW[:num_images]

    def attacked(self, model: object, num_images: int) -> Tensor:
        return self.x_NCHW[:num_images]


def make_victim() -> SimpleResNet:
    """A frozen victim with random weights."""
    torch.manual_seed(1)
    return SimpleResNet(20, units_per_stage=1).eval().requires_grad_(False)


def make_run(
    path: Path, fabric: Fabric, signs: ImageSet, *, shape: PurifierConfig = SHAPE, victim: SimpleResNet | None = None,
    **settings: Any,
) -> RobustRun:  # fmt: skip
    """Return a run of `CONFIG`, changed by `settings`."""
    victim = victim or make_victim()
    config = replace(CONFIG, **settings)
    return RobustRun(config, shape, victim, victim_state(victim), signs, path, fabric, source="signs")


def check_resumed(straight: Path, stopped: Path, make: Callable[[Path, Fabric], RobustRun], interrupt: Interrupt, *,
                  at: Sequence[int]) -> tuple[RobustRun, list[set[str]]]:  # fmt: skip
    """Train in one go, and again stopped behind each of some epochs: the last checkpoints hold the same tensors.

    Returns the run in one go, and what each checkpoint that was gone on from held, by the tensors' first names.
    """
    whole = make(straight, start_fabric("fp32"))
    whole.run()
    done, held = 0, []
    for epochs in at:
        shaken = start_fabric("fp32")
        run = make(stopped, shaken)
        if done:
            run.resume()
        interrupt(shaken, (epochs - done) * STEPS + 1)
        with pytest.raises(KeyboardInterrupt):
            run.run()
        found = load_checkpoint(stopped, "purifier")
        assert found.epoch == epochs
        held.append({name.split(".")[0] for name in found.tensors})
        done = epochs
    run = make(stopped, start_fabric("fp32"))
    run.resume()
    run.run()
    tensors = [json.loads((path / "last.json").read_text())["tensors"] for path in (straight, stopped)]
    assert tensors[0] == tensors[1]  # names their SHA-256
    return whole, held
