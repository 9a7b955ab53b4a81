"""One figure of a table: an attack under a threat model, and how many images a system still classifies rightly.

What is crafted on the bare victim or on the surrogate is crafted once and scored on every system, so that a column's
figures are of the same frames. Crafted batches are kept in a store: a run that was cut off goes on where it was.
Shapes: N images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.paper.systems import Classifier, System, bare_system
from capgan_benchmarks.robustness import attack_menu
from capgan_benchmarks.robustness.kept import Kept
from capgan_benchmarks.robustness.store import BatchStore
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_benchmarks.threats.bpda import Bpda
from capgan_benchmarks.threats.crafted import mean_l2
from capgan_benchmarks.threats.crafting import attack_title, craft_all, labels_of_frames, rows_of
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.query import Query
from capgan_benchmarks.threats.scenario import Scenario
from capgan_benchmarks.threats.transfer import Transfer
from capgan_benchmarks.threats.white_box_victim import WhiteBoxVictim
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet

_TIER = "paper"
_ON_ITSELF: Mapping[str, type[Bpda] | type[Query] | type[EndToEnd]] = {
    "bpda": Bpda, "query": Query, "end-to-end": EndToEnd}  # fmt: skip
NumAttacked = Callable[[str, int], int]
Done = Callable[[str, int, float | None], None]
"""Told of a column's title, of how many images a batch was, and its seconds; None where it came from the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One figure."""

    system: str
    column: Column
    epsilon: float | None
    """None where the attack keeps to no L-infinity budget, or where nothing is attacked."""
    is_right_N: NDArray[np.bool_]
    """Which of the first N test images: those that two figures have in common are of the same images."""
    settings: Mapping[str, Any]
    """Of the attack."""
    mean_l2: float | None = None
    """Of the perturbations that fool what was attacked, pixels in [0, 1]; None where none does."""
    queries: int = 0
    gradients: int = 0
    seconds: float = 0.0
    """Of crafting; what was crafted for several systems counts in each."""

    @property
    def n(self) -> int:
        """Images that were scored."""
        return len(self.is_right_N)

    @property
    def num_right(self) -> int:
        """Of them, classified rightly."""
        return int(np.count_nonzero(self.is_right_N))

    @property
    def percent(self) -> float:
        """Images classified rightly."""
        return 100 * self.num_right / self.n

    @property
    def interval_95(self) -> tuple[float, float]:
        """Wilson's, in percent."""
        return wilson_interval_percent(self.num_right, self.n)


@dataclass(kw_only=True, slots=True)
class Bench:
    """What attacks are made with."""

    victim: Classifier
    surrogate: Classifier | None
    """f', for transfer."""
    images: ImageSet
    store: BatchStore
    seed: int = 0
    batch: int = 64
    num_attacked: NumAttacked = attack_menu.most_images
    """On how many of so many images an attack of a name is run."""
    done: Done = field(default=lambda title, num, seconds: None)

    def cell(self, system: System, column: Column, epsilon: float) -> Cell:
        """Attack as the column says, and score the system.

        Raises:
            ConfigError: transfer without a surrogate.
        """
        if column == CLEAN:
            return self._scored(system, column, None, self.images, None)
        images, crafted = self.crafted(system, column, epsilon)
        used = epsilon if attack_menu.has_epsilon(column[1]) else None
        return self._scored(system, column, used, images, crafted)

    def crafted(self, system: System, column: Column, epsilon: float) -> tuple[ImageSet, CraftedSet]:
        """Return the images that an attack is run on, and what it made of them; from the store where they are there.

        Raises:
            ConfigError: transfer without a surrogate.
        """
        threat, name = column
        attack = attack_menu.attack_from_name(name, epsilon=epsilon, seed=self.seed, tier=_TIER)
        images = rows_of(self.images, slice(self.num_attacked(name, len(self.images))))
        title = f"{threat}: {attack_title(attack)}"
        scenario, target = self._scenario(system, threat)
        kept: Any = Kept(scenario=scenario, store=self.store, target_sha256=target, extra=None,
                         done=lambda num, seconds: self.done(title, num, seconds))  # fmt: skip
        return images, craft_all(kept, attack, images, batch=self.batch)

    def _scenario(self, system: System, threat: str) -> tuple[Scenario, str]:
        """Return who crafts, and the hash of every model that takes part in it."""
        if threat in _ON_ITSELF:
            return _ON_ITSELF[threat](defended=system.defended), system.sha256
        bare = bare_system(self.victim).defended
        if threat == WhiteBoxVictim.threat.name:
            return WhiteBoxVictim(defended=bare), self.victim.sha256
        if self.surrogate is None:
            raise ConfigError("expected a surrogate for the threat model transfer, got none; name its run with "
                              "--surrogate (train victim --seed 1)")  # fmt: skip
        return Transfer(defended=bare, surrogate=self.surrogate.model), f"{self.surrogate.sha256} {self.victim.sha256}"

    def _scored(
        self, system: System, column: Column, epsilon: float | None, images: ImageSet, crafted: CraftedSet | None
    ) -> Cell:
        frames_NHWC = images.images_NHWC if crafted is None else crafted.frames_NHWC
        is_right_N = labels_of_frames(system.defended, frames_NHWC) == images.labels_N
        held: dict[str, Any] = {} if crafted is None else {
            "mean_l2": mean_l2(crafted), "queries": int(crafted.queries_N.sum()),
            "gradients": int(crafted.gradients_N.sum()), "seconds": crafted.seconds}  # fmt: skip
        return Cell(system=system.name, column=column, epsilon=epsilon, is_right_N=is_right_N,
                    settings={} if crafted is None else crafted.settings, **held)  # fmt: skip
