"""What the page reads out of a record: the main epsilon, the lowest figures, who survives. Shapes: N images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import CLEAN, REPLAYED, Cell, RobustnessRecord, Score, cells_of, unpacked
from capgan_benchmarks.statistics import wilson_interval_percent

USUAL_EPSILON = 8 / 255
"""Of the paper's tables."""
WITHOUT_DEFENCE = ("transfer", "white-box-victim")
"""Scenarios whose attacker does not know the defence."""
WITH_EVERYTHING = ("end-to-end", "class-head", "stealthy", "artifact-transfer", "artifact-fake-quant")
"""Scenarios whose attacker knows the defence with its weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Some of n images."""

    num: int
    n: int

    @property
    def percent(self) -> float:
        """In percent; n is at least 1."""
        return 100 * self.num / self.n

    @property
    def interval_95(self) -> tuple[float, float]:
        """Wilson, in percent."""
        return wilson_interval_percent(self.num, self.n)


def main_epsilon(record: RobustnessRecord) -> float | None:
    """Return the epsilon of the large figures: 8/255 where it was attacked, else the commonest, None without any."""
    attacked = [cell for cell in cells_of(record) if cell.scenario != REPLAYED]
    held = [cell.epsilon for cell in attacked if cell.epsilon is not None]
    usual = next((each for each in held if is_same(each, USUAL_EPSILON)), None)
    return usual if usual is not None else max(sorted(held), key=held.count, default=None)


def is_same(first: float | None, second: float | None) -> bool:
    """Return whether two epsilons are one; None is only None."""
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, abs_tol=1e-6)


def clean_cell(record: RobustnessRecord) -> Cell | None:
    """Return the scores of images that nobody attacked."""
    return next((cell for cell in record.cells if cell.scenario == CLEAN), None)


def clean_score(record: RobustnessRecord, system: str) -> Score | None:
    """Return one system's."""
    clean = clean_cell(record)
    return clean.score_of(system) if clean else None


def lowest(cells: Sequence[Cell], system: str) -> tuple[Cell, Score] | None:
    """Return the cell where the system fares worst; of several the first whose threat is about it."""
    held = [(cell, score) for cell in cells if (score := cell.score_of(system)) is not None]
    return min(held, key=lambda pair: (pair[1].percent, system not in pair[0].targets), default=None)


def cells_at(record: RobustnessRecord, epsilon: float | None, scenarios: Sequence[str] = ()) -> tuple[Cell, ...]:
    """Return the attacked cells of one epsilon."""
    return tuple(cell for cell in cells_of(record, scenarios) if is_same(cell.epsilon, epsilon))


def survivors(record: RobustnessRecord, cells: Sequence[Cell], system: str) -> NDArray[np.bool_] | None:
    """Return which images the system labels rightly clean and under every attack, of those that all were run on, [N].

    Clean, too: no perturbation is a perturbation of every budget.
    """
    held = [unpacked(score) for cell in cells if (score := cell.score_of(system)) is not None]
    if not held:
        return None
    clean = clean_score(record, system)
    if clean is not None:
        held.append(unpacked(clean))
    n = min(len(right_N) for right_N in held)
    surviving_N: NDArray[np.bool_] = np.logical_and.reduce([right_N[:n] for right_N in held])
    return surviving_N


def share_of(is_counted_N: NDArray[np.bool_]) -> Share:
    """Return how many are counted."""
    return Share(num=int(is_counted_N.sum()), n=len(is_counted_N))


def fooled(record: RobustnessRecord, cells: Sequence[Cell], system: str) -> Share | None:
    """Return how many of the images that the system labels rightly clean some attack of the cells makes it mistake."""
    clean, surviving_N = clean_score(record, system), survivors(record, cells, system)
    if clean is None or surviving_N is None:
        return None
    n = min(clean.n, len(surviving_N))
    surviving_n = surviving_N[:n][unpacked(clean)[:n]]
    return share_of(~surviving_n) if len(surviving_n) else None


def victims(record: RobustnessRecord) -> tuple[str, ...]:
    """Return the names of the bare classifiers."""
    return tuple(system.name for system in record.systems if system.kind == "victim")


def defended(record: RobustnessRecord) -> tuple[str, ...]:
    """Return the names of what has a purifier."""
    return tuple(system.name for system in record.systems if system.kind != "victim")


def attacks_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the attacks' names in their order, each once."""
    return tuple(dict.fromkeys(cell.attack for cell in cells))


def scenarios_of(record: RobustnessRecord) -> tuple[str, ...]:
    """Return the scenarios that the record describes or has cells of, in its order."""
    named = (*(threat.name for threat in record.threats), *(cell.scenario for cell in cells_of(record)))
    return tuple(dict.fromkeys(named))
