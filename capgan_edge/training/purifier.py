"""A purifier's run: epochs of a method with a watch on held-out images, checkpoints, a log and figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.data.images import ImageSet
from capgan_edge.files import make_folder
from capgan_edge.models.purifier import PurifierConfig
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
from capgan_edge.training.config import PurifierRunConfig
from capgan_edge.training.device import average_statistics, place
from capgan_edge.training.figures import draw_losses, draw_samples
from capgan_edge.training.finite import stop_if_not_finite
from capgan_edge.training.journal import Journal
from capgan_edge.training.method import Method
from capgan_edge.training.methods import method_from, mode_of
from capgan_edge.training.origin import origin_state
from capgan_edge.training.runs import check_same_victim, mark_finished, mark_started
from capgan_edge.training.schedule import learning_rate, set_learning_rate
from capgan_edge.training.watch import Watch


class PurifierRun:
    """Train T_AC, with what its method trains beside it, before a frozen victim; the settings say by which method.

    `source` is what `capgan_edge.data.load` took to give `train`; the checkpoints say it.
    """

    def __init__(
        self,
        config: PurifierRunConfig,
        purifier: PurifierConfig,
        victim: nn.Module,
        victim_state: Mapping[str, Any],
        train: ImageSet,
        run_path: Path,
        fabric: Fabric,
        *,
        source: str | Path | None = None,
    ) -> None:
        check_size(train, smallest_px=SMALLEST_PURIFIER_PX)
        make_folder(run_path)
        self.origin = origin_state(source, fabric)
        self.config, self.purifier, self.fabric, self.run_path = config, purifier, fabric, run_path
        self.victim, self.victim_state, self.train_set = victim.eval().requires_grad_(False), victim_state, train
        torch.manual_seed(config.seed)
        fitted, held_out = split_validation(train, config.num_held_out, seed=config.seed)
        self.batches = Batches(fitted, config.batch_size, seed=config.seed, is_mirrored=config.is_mirrored,
                               rank=fabric.global_rank, world_size=fabric.world_size)  # fmt: skip
        fast = place(fabric, folded(self.victim) if isinstance(self.victim, SimpleResNet) else self.victim)
        self.method = method_from(config, purifier, fast, fabric)
        self.watch = Watch(held_out.take(config.num_watched, seed=config.seed), fast, config.epsilon, fabric,
                           seed=config.seed)  # fmt: skip
        self.best_percent = -1.0
        self.first_epoch = 0

    def resume(self) -> None:
        """Go on from `last.json`; the rest is bit for bit what an unbroken run would have done."""
        checkpoint = load_checkpoint(self.run_path, "purifier")
        check_same_victim(checkpoint.state.get("victim"), self.victim_state, self.run_path)
        for name, network in self.method.networks.items():
            load_into(network, checkpoint.tensors, name, str(self.run_path))
        for name, optimized in self.method.optimizers.items():
            load_optimizer(optimized.optimizer, checkpoint.tensors, name,
                           may_be_empty=checkpoint.epoch <= optimized.first_epoch)  # fmt: skip
        row = checkpoint.state.get("row")
        is_scored = (
            isinstance(row, dict) and "pgd20_half_percent" in row
        )  # a score of before does not compare with ours
        self.first_epoch, self.best_percent = checkpoint.epoch, best_percent_of(checkpoint) if is_scored else -1.0

    def run(self) -> Method:
        """Train to the last epoch.

        Raises:
            TrainingError: a loss became NaN; the last good checkpoint is kept.
        """
        config, total_steps = self.config, self.config.epochs * len(self.batches)
        if self.fabric.is_global_zero and self.first_epoch < config.epochs:
            mark_started(self.run_path)
        with Journal(self.run_path, total_steps=total_steps, done_steps=self.first_epoch * len(self.batches),
                     is_silent=not self.fabric.is_global_zero) as journal:  # fmt: skip
            for epoch in range(self.first_epoch, config.epochs):
                started_s = time.monotonic()
                row = self._train_epoch(epoch, journal)
                average_statistics(self.fabric, *self.method.networks.values())
                row |= self.watch.percentages(self.method.purifier)
                row["seconds"] = time.monotonic() - started_s
                journal.epoch(epoch + 1, row)
                if self.fabric.is_global_zero:
                    self._save(epoch + 1, row)
        if self.fabric.is_global_zero:
            mark_finished(self.run_path, "purifier", config.epochs)
        return self.method

    def _train_epoch(self, epoch: int, journal: Journal) -> dict[str, float]:
        for network in self.method.networks.values():
            network.train()
        step = self.method.step_in(epoch)
        sums = dict.fromkeys(self.method.loss_names, 0.0)
        # What a step draws (the size of each FGSM image) depends on seed and epoch alone, as the batches do.
        torch.manual_seed(self.config.seed * 1_000_003 + 500_000 + epoch)
        started_s = time.monotonic()
        for i, (x_BCHW, y_B) in enumerate(self.batches.epoch(epoch)):
            self._set_learning_rates(epoch * len(self.batches) + i)
            x_BCHW, y_B = self.fabric.to_device((x_BCHW, y_B))
            losses = {name: loss.item() for name, loss in step(self.method.pair(x_BCHW, y_B)).items()}
            stop_if_not_finite(losses, self.run_path, epoch=epoch, step=i)
            for name, value in losses.items():
                sums[name] += value / len(self.batches)
            seconds = time.monotonic() - started_s
            journal.step(losses | {"images_per_s": (i + 1) * self.config.batch_size / seconds})
        return sums | {"images_per_s": len(self.batches) * self.config.batch_size / seconds}

    def _set_learning_rates(self, step: int) -> None:
        total_steps = self.config.epochs * len(self.batches)
        for optimizer, peak_rate, _ in self.method.optimizers.values():
            set_learning_rate(optimizer, learning_rate(self.config.schedule, peak_rate, step, total_steps))

    def _save(self, epoch: int, row: dict[str, float]) -> None:
        score = (row["clean_percent"] + min(row["pgd20_percent"], row["pgd20_half_percent"])) / 2
        if epoch == self.method.warm_up_epochs + 1:
            self.best_percent = -1.0  # the best of a run is of the whole method, not of its warm-up
        is_best, self.best_percent = score > self.best_percent, max(score, self.best_percent)
        tensors: dict[str, Tensor] = {}
        for name, network in self.method.networks.items():
            tensors |= module_tensors(name, network)
        for name, optimized in self.method.optimizers.items():
            tensors |= optimizer_tensors(name, optimized.optimizer)
        if isinstance(self.victim, SimpleResNet):
            tensors |= module_tensors("victim", self.victim)
        train = self.train_set
        state = {"mode": mode_of(self.config), "config": asdict(self.config), "purifier": asdict(self.purifier),
                 "victim": dict(self.victim_state), "class_names": list(train.class_names),
                 "size_px": list(train.size_px), "data": train.name, "best_percent": self.best_percent,
                 "row": row} | self.origin  # fmt: skip
        save_checkpoint(self.run_path, Checkpoint(kind="purifier", epoch=epoch, tensors=tensors, state=state),
                        is_best=is_best)  # fmt: skip
        if epoch % self.config.figure_every == 0 or epoch == self.config.epochs:
            draw_losses(self.run_path)
            draw_samples(self.run_path / f"samples-{epoch:04d}.png", self.method.purifier, self.watch.sets["clean"],
                         self.watch.sets["pgd20"])  # fmt: skip
