"""One benchmark: craft every job's frames, ask every system about them, and assemble the record.

Shapes: N images, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.robustness import attack_menu
from capgan_benchmarks.robustness.assembling import Assembled, attacked_cell, clean_cell, record_of
from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.fitting import TRANSFERRED
from capgan_benchmarks.robustness.gradients import ZeroGradients
from capgan_benchmarks.robustness.image_source import identity_of
from capgan_benchmarks.robustness.kept import kept_scenario
from capgan_benchmarks.robustness.planning import Job, Plan, num_images, plan, targets_of
from capgan_benchmarks.robustness.progress import Watch, say, say_plan, watching
from capgan_benchmarks.robustness.record import Check, DataIdentity, RobustnessRecord
from capgan_benchmarks.robustness.replaying import Replay, read_replays
from capgan_benchmarks.robustness.scoring import Scorer
from capgan_benchmarks.robustness.store import BatchStore, store_root
from capgan_benchmarks.robustness.subject import Subject
from capgan_benchmarks.threats.crafting import attack_title, craft_all, rows_of
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from rich.console import Console

    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack

CellKey = tuple[str, str, float | None]
"""Scenario, attack and epsilon of a cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What is known before the first attack."""

    images: ImageSet
    data: DataIdentity
    plan: Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a benchmark gave."""

    record: RobustnessRecord
    crafted: Mapping[CellKey, CraftedSet]
    """By cell; float images are let go."""
    images: ImageSet


def prepare(config: RobustnessConfig, subject: Subject) -> Prepared:
    """Load the images and make the plan.

    Raises:
        CapganError: the images do not fit the subject, n is larger than the data, or what was named does not apply.
    """
    is_the_tiers = config.n is None
    images, num_available = subject.data.load(num_images(config), config.seed, takes_fewer=is_the_tiers)
    data = identity_of(images, num_available=num_available, seed=config.seed)
    return Prepared(images=images, data=data, plan=plan(config, subject, len(images)))


def run_robustness(config: RobustnessConfig, subject: Subject, prepared: Prepared, console: Console) -> Finished:
    """Run a benchmark; what it says while it runs goes to `console`.

    Raises:
        CapganError: a model or a runner failed; batches that were done are kept, and the same run goes on from there.
    """
    started_s = time.monotonic()
    images = prepared.images
    replays = read_replays(config.replays, images)
    say_plan(prepared.plan, [system.name for system in subject.systems], console)
    bench = _Bench(config, subject, images, console)
    with watching(prepared.plan.jobs, console) as watch:
        for index, job in enumerate(prepared.plan.jobs):
            watch.start(index)
            bench.run(job, watch)
    for each in replays:
        bench.replay(each)
    say(console, "checking the benchmark itself for masked gradients")
    record = record_of(config, subject, prepared.data, images.labels_N, bench.assembled, checks=bench.checks(),
                       not_tested=prepared.plan.not_tested, seconds=time.monotonic() - started_s)  # fmt: skip
    return Finished(record=record, crafted=bench.crafted, images=images)


class _Bench:
    """Cells, as they are made."""

    def __init__(self, config: RobustnessConfig, subject: Subject, images: ImageSet, console: Console) -> None:
        self._config, self._subject, self._images = config, subject, images
        self._store = BatchStore(store_root(config.cache), lambda line: say(console, line))
        self._scorer = Scorer(subject.systems)
        self._zeros = ZeroGradients(subject)
        self._clean = self._scorer.say(images.images_NHWC)
        self.assembled: list[Assembled] = [clean_cell(self._clean, images.labels_N)]
        self.crafted: dict[CellKey, CraftedSet] = {}

    def run(self, job: Job, watch: Watch) -> None:
        """Attack, score, and keep the cell."""
        images = rows_of(self._images, slice(job.n))
        made: list[int] = []

        def done(num_images: int, seconds: float | None) -> None:
            watch.note(num_images, seconds)
            made.append(0 if seconds is None else num_images)

        scenario = kept_scenario(self._subject, job.scenario, job.artifact, self._store, done)
        crafted = craft_all(scenario, attack_of(job, self._config), images, batch=self._config.batch)
        crafted = replace(crafted, name=cell_name(job, self._config))
        takes_gradients = bool(crafted.gradients_N.any())
        self._add(crafted, epsilon=job.epsilon, targets=targets_of(job, self._subject),
                  zero_gradient_percent=self._zeros.percent(job, images) if takes_gradients else None,
                  settings={} if job.artifact is None else {"artifact": job.artifact})  # fmt: skip
        watch.end(crafted.seconds, sum(made))

    def replay(self, replay: Replay) -> None:
        """Score an exported set as a cell of its own; it is about every system, what is defended first."""
        systems = sorted(self._subject.systems, key=lambda system: system.identity.kind == "victim")
        self._add(replay.crafted, epsilon=replay.epsilon, targets=tuple(system.name for system in systems),
                  zero_gradient_percent=None, settings=replay.settings)  # fmt: skip

    def _add(
        self, crafted: CraftedSet, *, epsilon: float | None, targets: tuple[str, ...],
        zero_gradient_percent: float | None, settings: dict[str, Any],
    ) -> None:  # fmt: skip
        said = self._scorer.say(crafted.frames_NHWC)
        self.assembled.append(attacked_cell(crafted, epsilon=epsilon, targets=targets, said=said, clean=self._clean,
                                            zero_gradient_percent=zero_gradient_percent,
                                            settings=settings))  # fmt: skip
        self.crafted[(crafted.scenario, crafted.name, epsilon)] = crafted

    def checks(self) -> tuple[Check, ...]:
        """Return the self-checks."""
        from capgan_benchmarks.robustness.masking import self_checks

        pair = self._subject.pair
        defended = pair.defended if pair is not None and pair.has_gradients else None
        return self_checks([each.cell for each in self.assembled], defended=defended, images=self._images,
                           seed=self._config.seed)  # fmt: skip


def attack_of(job: Job, config: RobustnessConfig) -> Attack:
    """Return a job's attack."""
    return attack_menu.attack_from_name(job.attack, epsilon=job.epsilon or 0.0, seed=config.seed, tier=config.tier,
                                        is_transferred=job.scenario in TRANSFERRED)  # fmt: skip


def cell_name(job: Job, config: RobustnessConfig) -> str:
    """Return what a record calls a job's attack: unlike any other of the same threat model and epsilon."""
    attack = attack_of(job, config)
    title = attack_title(attack)
    restarts, searches = getattr(attack, "restarts", 1), getattr(attack, "search_steps", 1)
    if restarts > 1:
        title = f"{restarts} starts of {title}"
    if searches > 1:
        title = f"search of {title}"
    return title if job.artifact is None else f"{job.artifact}: {title}"
