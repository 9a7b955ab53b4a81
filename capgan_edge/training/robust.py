"""A robust purifier's run: its stages' epochs, a watch that rolls back what collapsed, checkpoints, log and figures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder
from capgan_edge.models.presets import purifier_from
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifierConfig
from capgan_edge.models.victim import SimpleResNet, folded
from capgan_edge.training.batches import SMALLEST_PURIFIER_PX, Batches, check_size, split_validation
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
from capgan_edge.training.device import average_statistics, place
from capgan_edge.training.figures import draw_losses, draw_samples
from capgan_edge.training.finite import stop_if_not_finite
from capgan_edge.training.journal import Journal
from capgan_edge.training.origin import origin_state
from capgan_edge.training.robust_attack import noise_generator
from capgan_edge.training.robust_config import RobustConfig, attack_steps
from capgan_edge.training.robust_ema import WeightAverage
from capgan_edge.training.robust_initial import check_initial, initial_state, merged
from capgan_edge.training.robust_labels import cutmix, soft_labels
from capgan_edge.training.robust_overfitting import Watched, has_collapsed, more_steps
from capgan_edge.training.robust_stages import Stage, awp_gamma_at, crop_px_at, stage_at
from capgan_edge.training.robust_state import RobustState, state_from
from capgan_edge.training.robust_steps import RobustSteps
from capgan_edge.training.robust_teacher import check_same_teacher, load_teacher, teacher_state
from capgan_edge.training.robust_watch import RobustWatch
from capgan_edge.training.runs import check_same_victim, mark_finished, mark_started
from capgan_edge.training.schedule import learning_rate, set_learning_rate

NUM_DRAWN = 64


class RobustRun:
    """Train T before a frozen victim against attacks on f(T(.)); `initial` is where `init` of `run` starts from."""

    def __init__(
        self,
        config: RobustConfig,
        purifier: PurifierConfig,
        victim: nn.Module,
        victim_state: Mapping[str, Any],
        train: ImageSet,
        run_path: Path,
        fabric: Fabric,
        *,
        source: str | Path | None = None,
        initial: Purifier | None = None,
    ) -> None:
        check_size(train, smallest_px=SMALLEST_PURIFIER_PX)
        check_shape(config, purifier, len(train.class_names))
        if initial is not None:
            check_initial(config, purifier, initial.config)
        teacher = load_teacher(config, victim_state, train)
        make_folder(run_path)
        self.origin = origin_state(source, fabric)
        self.taught_by, self.started_from = teacher_state(teacher), initial_state(initial)
        self.config, self.shape, self.fabric, self.run_path = config, purifier, fabric, run_path
        self.victim, self.victim_state, self.train_set = victim.eval().requires_grad_(False), victim_state, train
        torch.manual_seed(config.seed)
        fitted, held_out = split_validation(train, config.num_held_out, seed=config.seed)
        self.batches = Batches(fitted, config.batch_size, seed=config.seed, is_mirrored=config.is_mirrored,
                               rank=fabric.global_rank, world_size=fabric.world_size)  # fmt: skip
        fast = place(fabric, folded(self.victim) if isinstance(self.victim, SimpleResNet) else self.victim)
        self.t_ac = place(fabric, purifier_from(purifier))
        if initial is not None:
            self.t_ac.load_state_dict(merged(self.t_ac, initial))
        self.average = WeightAverage(self.t_ac, config.ema_decay)
        self.steps = RobustSteps(self.t_ac, fast, config, fabric, None if teacher is None else place(fabric, teacher))
        self.watch = RobustWatch(held_out.take(config.num_watched, seed=config.seed), config.epsilon, fabric,
                                 seed=config.seed)  # fmt: skip
        self.state = RobustState(attack_steps=attack_steps(config.attack), history=[])
        self.best_percent = -1.0
        self.first_epoch = 0

    @property
    def purifier(self) -> Purifier:
        """The purifier as it ships: the average of the weights."""
        return self.average.module

    def resume(self) -> None:
        """Go on from `last.json`; the rest is bit for bit what an unbroken run would have done."""
        checkpoint = load_checkpoint(self.run_path, "purifier")
        check_same_victim(checkpoint.state.get("victim"), self.victim_state, self.run_path)
        check_same_teacher(checkpoint.state, self.taught_by, self.run_path)
        self.first_epoch, self.best_percent = checkpoint.epoch, best_percent_of(checkpoint)
        self.state = state_from(checkpoint.state, self.run_path)
        self.started_from = {name: checkpoint.state[name] for name in ("initial",) if name in checkpoint.state}
        if checkpoint.epoch < self.config.epochs:
            stage = stage_at(self.config, checkpoint.epoch)
            self.steps.enter(stage)
            self._restore(checkpoint, is_within_stage=checkpoint.epoch > stage.first_epoch)
        else:
            load_into(self.average.module, checkpoint.tensors, "t_ac", str(self.run_path))

    def run(self) -> Purifier:
        """Train to the last epoch and return the purifier that ships.

        Raises:
            ConfigError: `init` is `run`, and there is neither a purifier to start from nor a checkpoint to go on from.
            TrainingError: a loss became NaN; the last good checkpoint is kept.
        """
        config, total_steps = self.config, self.config.epochs * len(self.batches)
        if config.init == "run" and not self.started_from and not self.first_epoch:
            raise ConfigError("expected a purifier to start from with init 'run', got none; name its run")
        if self.fabric.is_global_zero and self.first_epoch < config.epochs:
            mark_started(self.run_path)
        with Journal(self.run_path, total_steps=total_steps, done_steps=self.first_epoch * len(self.batches),
                     is_silent=not self.fabric.is_global_zero) as journal:  # fmt: skip
            for epoch in range(self.first_epoch, config.epochs):
                self._epoch(epoch, journal)
        if self.fabric.is_global_zero:
            mark_finished(self.run_path, "purifier", config.epochs)
        return self.purifier

    def _epoch(self, epoch: int, journal: Journal) -> None:
        stage, started_s = stage_at(self.config, epoch), time.monotonic()
        if epoch == stage.first_epoch:
            self._begin(stage)
        row = self._train_epoch(stage, epoch, journal)
        average_statistics(self.fabric, self.average.module, self.t_ac, *self.steps.auxiliary.values())
        deployed, *behind = self.steps.watched(stage.name, self.purifier)
        row |= self.watch.percentages(deployed, deployed, *behind)
        self.state.history.append(Watched(row["attacked_percent"], row["pgd10_percent"]))
        row |= {"attack_steps": self.state.attack_steps, "is_rolled_back": 0.0}
        if has_collapsed(self.state.history, self.config.collapse_points):
            self._roll_back()
            row["is_rolled_back"] = 1.0
        row["seconds"] = time.monotonic() - started_s
        journal.epoch(epoch + 1, row)
        if self.fabric.is_global_zero:
            self._save(epoch + 1, stage, row)
        self.fabric.barrier()

    def _begin(self, stage: Stage) -> None:
        """Start a stage from the averaged weights of the one before; what it watches is another quantity."""
        self.t_ac.load_state_dict(self.average.module.state_dict())
        self.steps.enter(stage)
        self.state.history.clear()
        self.best_percent = -1.0

    def _train_epoch(self, stage: Stage, epoch: int, journal: Journal) -> dict[str, float]:
        config, num_classes = self.config, len(self.train_set.class_names)
        generator = noise_generator(config.seed, epoch, self.fabric.global_rank)
        sums: dict[str, float] = defaultdict(float)
        started_s = time.monotonic()
        for i, (x_BCHW, y_B) in enumerate(self.batches.epoch(epoch, crop_px=crop_px_at(config, epoch))):
            step = (epoch - stage.first_epoch) * len(self.batches) + i
            for optimizer, peak_rate, _ in self.steps.optimizers.values():
                rate = learning_rate(config.schedule, peak_rate, step, stage.num_epochs * len(self.batches))
                set_learning_rate(optimizer, rate)
            targets_BK = soft_labels(y_B, num_classes, config.label_smoothing)
            if config.has_cutmix:
                x_BCHW, targets_BK = cutmix(x_BCHW, targets_BK, generator)
            x_BCHW, targets_BK = self.fabric.to_device((x_BCHW, targets_BK))
            found, is_right_B = self.steps.step(stage.name, x_BCHW, targets_BK, self.state.attack_steps, generator,
                                                awp_gamma=awp_gamma_at(config, epoch))  # fmt: skip
            self.average.update(self.t_ac, step)
            losses = {name: loss.item() for name, loss in found.items()}
            stop_if_not_finite(losses, self.run_path, epoch=epoch, step=i)
            for name, value in {**losses, "attacked_percent": 100 * float(is_right_B.float().mean())}.items():
                sums[name] += value / len(self.batches)
            seconds = time.monotonic() - started_s
            journal.step(losses | {"images_per_s": (i + 1) * config.batch_size / seconds})
        share = cast(Tensor, self.fabric.all_reduce(torch.tensor(sums["attacked_percent"]), reduce_op="mean"))
        return {**sums, "attacked_percent": float(share),
                "images_per_s": len(self.batches) * config.batch_size / seconds}  # fmt: skip

    def _roll_back(self) -> None:
        """Go back to the stage's best epoch with a stronger attack; the schedule goes on."""
        self._restore(load_checkpoint(self.run_path / "best.json", "purifier"), is_within_stage=True)
        self.state.history.pop()
        self.state.attack_steps = more_steps(self.state.attack_steps)

    def _restore(self, checkpoint: Checkpoint, *, is_within_stage: bool) -> None:
        """Load the weights, and what a stage that has begun trains beside them."""
        load_into(self.t_ac, checkpoint.tensors, "raw", str(self.run_path))
        load_into(self.average.module, checkpoint.tensors, "t_ac", str(self.run_path))
        if not is_within_stage:
            return
        for name, network in self.steps.auxiliary.items():
            load_into(network, checkpoint.tensors, name, str(self.run_path))
        for name, optimized in self.steps.optimizers.items():
            load_optimizer(optimized.optimizer, checkpoint.tensors, name)

    def _save(self, epoch: int, stage: Stage, row: dict[str, float]) -> None:
        is_best = row["pgd10_percent"] > self.best_percent and not row["is_rolled_back"]
        self.best_percent = row["pgd10_percent"] if is_best else self.best_percent
        tensors = module_tensors("t_ac", self.average.module) | module_tensors("raw", self.t_ac)
        for name, network in self.steps.auxiliary.items():
            tensors |= module_tensors(name, network)
        for name, optimized in self.steps.optimizers.items():
            tensors |= optimizer_tensors(name, optimized.optimizer)
        if isinstance(self.victim, SimpleResNet):
            tensors |= module_tensors("victim", self.victim)
        train = self.train_set
        state = {"mode": "robust", "config": asdict(self.config), "purifier": asdict(self.shape),
                 "victim": dict(self.victim_state), "class_names": list(train.class_names),
                 "size_px": list(train.size_px), "data": train.name, "stage": stage.name,
                 "best_percent": self.best_percent, "row": row,
                 **asdict(self.state), **self.origin, **self.taught_by, **self.started_from}  # fmt: skip
        save_checkpoint(self.run_path, Checkpoint(kind="purifier", epoch=epoch, tensors=tensors, state=state),
                        is_best=is_best)  # fmt: skip
        draw_losses(self.run_path)
        if stage.name != "head":
            model = self.steps.deployed(stage.name, self.purifier)
            draw_samples(self.run_path / f"samples-{epoch:04d}.png", self.purifier, self.watch.some(NUM_DRAWN),
                         self.watch.attacked(model, NUM_DRAWN))  # fmt: skip


def check_shape(config: RobustConfig, shape: PurifierConfig, num_classes: int) -> None:
    """Raise ConfigError where the stages need a class head that the purifier does not have, or one of other classes."""
    if isinstance(shape, RobustPurifierConfig):
        if shape.num_classes != num_classes:
            raise ConfigError(f"expected a class head of {num_classes} classes, those of the images, got "
                              f"{shape.num_classes}")  # fmt: skip
        if config.init == "identity" and shape.paints == "decision":
            raise ConfigError(
                "expected a painter that can leave a frame as it is for init identity, got one that paints the "
                "decision alone; use the preset robust-nano"
            )
    elif config.init == "head":
        raise ConfigError(
            "expected a purifier with a class head for init head, got a CAP-GAN purifier; use the preset robust-nano, "
            "or start from identity or from a run"
        )
    elif config.epochs_with_class_head:
        raise ConfigError(
            "expected head_epochs, draw_epochs and painter_epochs of 0 with a CAP-GAN purifier, which has no "
            f"class head and so the last stage alone, got {config.head_epochs}, {config.draw_epochs} and "
            f"{config.painter_epochs}; pass --set head_epochs=0 and so on"
        )
