"""Train the victim: a classifier, by SGD on flipped and cropped images, or on what an attack makes of them."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.defences.thermometer import MAX_LEVELS
from capgan_edge.errors import ConfigError, TrainingError
from capgan_edge.files import make_folder
from capgan_edge.models.own_victim import EncodingName, own_victim
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.batches import SMALLEST_VICTIM_PX, Batches, check_size, split_validation
from capgan_edge.training.checkpoint import (
    Checkpoint,
    best_percent_of,
    load_checkpoint,
    load_into,
    load_optimizer,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from capgan_edge.training.device import average_gradients, average_statistics, place
from capgan_edge.training.evaluate import accuracy_percent
from capgan_edge.training.journal import Journal
from capgan_edge.training.origin import origin_state
from capgan_edge.training.robust_attack import craft, noise_generator
from capgan_edge.training.runs import mark_finished, mark_started
from capgan_edge.training.schedule import ScheduleName, check_schedule, learning_rate, set_learning_rate
from capgan_edge.training.victim_watch import AdversarialWatch

COLOUR_SLICE = 256
"""Images whose colours are summed at a time."""
MAX_ATTACK_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class VictimConfig:
    """How to train a `SimpleResNet`; the defaults are those of an ordinary victim, without a defence."""

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.2
    """Peak rate of SGD with Nesterov momentum 0.9."""
    schedule: ScheduleName = "one-cycle"
    weight_decay: float = 5e-4
    units_per_stage: int = 5
    """5 is the paper's victim; less is a smaller one of the same kind."""
    encoding: EncodingName = "pixels"
    """`thermometer` trains the victim on the thermometer code of its images (Buckman et al. 2018)."""
    levels: int = 16
    """Of the thermometer."""
    attack_steps: int = 0
    """Adversarial training (Madry et al. 2018): steps of PGD from a random start on every batch, which takes the place
    of the clean one; 7 are the paper's, each of epsilon / 4. 0 trains on clean images."""
    is_n_fgsm: bool = False
    """The one step starts from uniform noise of 2 epsilon, and nothing is projected back (de Jorge et al. 2022): one
    step of PGD alone overfits catastrophically. Needs `attack_steps` of 1."""
    epsilon: float = 8 / 255
    """Of that attack, in [0, 1]."""
    is_mirrored: bool = True
    """Mirror half of the images; False where left and right mean different things (road signs)."""
    small_crop_px: int = 24
    """Side of the crops in the first epochs: the same objects at 56 % of the cost (at 32 px)."""
    small_crop_epochs: int = 0
    num_held_out: int = 1000
    """Training images kept back to choose the best epoch."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ConfigError(f"expected epochs >= 1 and batch_size >= 2, got {self.epochs} and {self.batch_size}")
        if not 0 <= self.small_crop_epochs <= self.epochs:
            raise ConfigError(f"expected small_crop_epochs in [0, {self.epochs}], got {self.small_crop_epochs}")
        if self.small_crop_px < 4 or self.small_crop_px % 4:
            raise ConfigError(f"expected small_crop_px to be a multiple of 4, got {self.small_crop_px}")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ConfigError(
                f"expected learning_rate > 0 and weight_decay >= 0, got {self.learning_rate} and {self.weight_decay}"
            )
        if self.units_per_stage < 1 or self.num_held_out < 1 or self.seed < 0:
            raise ConfigError(
                f"expected units_per_stage >= 1, num_held_out >= 1 and seed >= 0, got {self.units_per_stage}, "
                f"{self.num_held_out} and {self.seed}"
            )
        check_schedule(self.schedule)
        _check_defence(self)


def _check_defence(c: VictimConfig) -> None:
    if c.encoding not in get_args(EncodingName) or not 2 <= c.levels <= MAX_LEVELS:
        raise ConfigError(
            f"expected an encoding among {', '.join(get_args(EncodingName))} and levels in [2, {MAX_LEVELS}], got "
            f"{c.encoding!r} and {c.levels}"
        )
    if not 0 <= c.attack_steps <= MAX_ATTACK_STEPS or not 0 <= c.epsilon <= 1:
        raise ConfigError(
            f"expected attack_steps in [0, {MAX_ATTACK_STEPS}] and epsilon in [0, 1] (8/255 is {8 / 255:.4f}), got "
            f"{c.attack_steps} and {c.epsilon}"
        )
    if c.attack_steps and c.encoding != "pixels":
        raise ConfigError(
            f"expected attack_steps of 0 with the encoding {c.encoding}, whose gradient is 0, got {c.attack_steps}"
        )
    if c.is_n_fgsm and c.attack_steps != 1:
        raise ConfigError(f"expected attack_steps of 1 with N-FGSM, which has one step, got {c.attack_steps}")


def train_victim(
    config: VictimConfig,
    train: ImageSet,
    run_path: Path,
    fabric: Fabric,
    *,
    is_resumed: bool = False,
    source: str | Path | None = None,
) -> SimpleResNet:
    """Train, writing `last.json` and `best.json` after each epoch, and return the victim of the last epoch.

    `source` is what `capgan_edge.data.load` took to give `train`; the checkpoints say it.

    Raises:
        CapganError: `run_path` cannot be written.
        TrainingError: the loss became NaN; the last good checkpoint is kept.
    """
    check_size(train, smallest_px=SMALLEST_VICTIM_PX)
    make_folder(run_path)
    torch.manual_seed(config.seed)
    fitted, held_out = split_validation(train, config.num_held_out, seed=config.seed)
    victim = own_victim(len(train.class_names), units_per_stage=config.units_per_stage, encoding=config.encoding,
                         levels=config.levels)  # fmt: skip
    if config.encoding == "pixels":
        measure_colours(victim, fitted)
    victim = place(fabric, victim)
    optimizer = torch.optim.SGD(victim.parameters(), config.learning_rate, momentum=0.9, nesterov=True,
                                weight_decay=config.weight_decay)  # fmt: skip
    first_epoch, best = _restore(run_path, victim, optimizer) if is_resumed else (0, -1.0)
    watch = AdversarialWatch(held_out, config.epsilon, fabric, seed=config.seed) if config.attack_steps else None
    batches = Batches(fitted, config.batch_size, seed=config.seed, is_mirrored=config.is_mirrored,
                      rank=fabric.global_rank, world_size=fabric.world_size)  # fmt: skip
    origin = origin_state(source, fabric)
    if fabric.is_global_zero and first_epoch < config.epochs:
        mark_started(run_path)
    with Journal(run_path, total_steps=config.epochs * len(batches), done_steps=first_epoch * len(batches),
                 is_silent=not fabric.is_global_zero) as journal:  # fmt: skip
        for epoch in range(first_epoch, config.epochs):
            started_s = time.monotonic()
            row = _train_epoch(config, victim, optimizer, batches, fabric, journal, epoch)
            average_statistics(fabric, victim)
            row["held_out_percent"] = accuracy_percent(victim, held_out, fabric)
            if watch is not None:
                row["pgd10_percent"] = watch.percent(victim)
            row["seconds"] = time.monotonic() - started_s
            journal.epoch(epoch + 1, row)
            is_best, best = row["held_out_percent"] > best, max(best, row["held_out_percent"])
            if fabric.is_global_zero:
                tensors = module_tensors("victim", victim) | optimizer_tensors("optimizer", optimizer)
                state = {"config": asdict(config), "class_names": list(train.class_names), "data": train.name,
                         "size_px": list(train.size_px), "best_percent": best, "row": row} | origin  # fmt: skip
                checkpoint = Checkpoint(kind="victim", epoch=epoch + 1, tensors=tensors, state=state)
                save_checkpoint(run_path, checkpoint, is_best=is_best)
    if fabric.is_global_zero:
        mark_finished(run_path, "victim", config.epochs)
    return victim


def _restore(run_path: Path, victim: SimpleResNet, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Load the last checkpoint of a run; return its epochs and its best score, in percent."""
    checkpoint = load_checkpoint(run_path, "victim")
    load_into(victim, checkpoint.tensors, "victim", str(run_path))
    load_optimizer(optimizer, checkpoint.tensors, "optimizer")
    return checkpoint.epoch, best_percent_of(checkpoint)


def _train_epoch(
    config: VictimConfig,
    victim: SimpleResNet,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    fabric: Fabric,
    journal: Journal,
    epoch: int,
) -> dict[str, float]:
    victim.train()
    started_s, total_loss = time.monotonic(), 0.0
    noise = noise_generator(config.seed, epoch, fabric.global_rank)
    crop_px = config.small_crop_px if epoch < config.small_crop_epochs else None
    for i, (x_BCHW, y_B) in enumerate(batches.epoch(epoch, crop_px=crop_px)):
        step, total_steps = epoch * len(batches) + i, config.epochs * len(batches)
        set_learning_rate(optimizer, learning_rate(config.schedule, config.learning_rate, step, total_steps))
        x_BCHW, y_B = fabric.to_device((x_BCHW, y_B))
        if config.attack_steps:
            x_BCHW = _attacked(config, victim, x_BCHW, y_B, fabric, noise)
        with fabric.autocast():
            logits_BK: Tensor = victim(x_BCHW)
        loss = F.cross_entropy(logits_BK.float(), y_B)
        optimizer.zero_grad()
        fabric.backward(loss)
        average_gradients(fabric, victim)
        optimizer.step()
        value = loss.item()
        if not np.isfinite(value):
            raise TrainingError(
                f"expected a finite loss, got {value} in epoch {epoch + 1}, step {i}; the last good checkpoint is "
                "kept: train in a new folder at a lower rate"
            )
        total_loss += value
        journal.step({"loss": value})
    seconds = time.monotonic() - started_s
    return {"loss": total_loss / len(batches), "images_per_s": len(batches) * config.batch_size / seconds}


def _attacked(
    config: VictimConfig, victim: SimpleResNet, x_BCHW: Tensor, y_B: Tensor, fabric: Fabric, noise: torch.Generator
) -> Tensor:
    """Return the batch as the attack leaves it, crafted on the victim as it would be deployed: in eval mode."""
    steps = 0 if config.is_n_fgsm else config.attack_steps
    victim.eval()
    with fabric.autocast():
        a_BCHW = craft(victim, x_BCHW, y_B, epsilon=config.epsilon, steps=steps, generator=noise)
    victim.train()
    return a_BCHW


def measure_colours(victim: SimpleResNet, images: ImageSet) -> None:
    """Set the victim's own normalisation to the mean and deviation of each colour over the training images.

    The sums are exact: whole numbers in float64, slice by slice. A colour that never changes deviates by one step.
    """
    sample_NHWC = images.take(10_000).images_NHWC
    sum_C, squares_C = np.zeros(3), np.zeros(3)
    for start in range(0, len(sample_NHWC), COLOUR_SLICE):
        pixels_NC = sample_NHWC[start : start + COLOUR_SLICE].reshape(-1, 3).astype(np.float64)
        sum_C += pixels_NC.sum(0)
        squares_C += (pixels_NC**2).sum(0)
    count = sample_NHWC.size // 3
    mean_C = sum_C / count
    std_C = np.sqrt(np.maximum(squares_C / count - mean_C**2, 0)).clip(min=1)
    victim.mean_C.copy_(torch.from_numpy(mean_C / 255).view(3, 1, 1))
    victim.std_C.copy_(torch.from_numpy(std_C / 255).view(3, 1, 1))
