"""Accuracy where an image counts as right only if it is right clean and after every attack. Shapes: N images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from capgan_benchmarks.robustness.record import CLEAN, REPLAYED, Cell, Worst, unpacked
from capgan_benchmarks.statistics import wilson_interval_percent


def worst_of(cells: Sequence[Cell]) -> tuple[Worst, ...]:
    """Return the worst case at each epsilon: of each system over each threat model that is about it, and of everything
    that is scored over all that was run.

    What lies within a smaller epsilon lies within a larger one: attacks of smaller ones count too, and so do the clean
    images. A defence that was trained on perturbations of one size may fall to those of half of it. Attacks without an
    epsilon are in none; replayed sets are of no threat model here, and in the worst over all alone. The images are
    those that all the attacks were run on: the first ones.
    """
    clean = [cell for cell in cells if cell.scenario == CLEAN]
    attacked = [cell for cell in cells if cell.scenario != CLEAN and cell.epsilon is not None]
    scenarios = list(dict.fromkeys(cell.scenario for cell in attacked))
    found: list[Worst] = []
    for epsilon in sorted({cell.epsilon for cell in attacked if cell.epsilon is not None}):
        of_epsilon = [cell for cell in attacked if cell.epsilon is not None and cell.epsilon <= epsilon]
        told = set[tuple[str, tuple[str, ...]]]()
        for scenario in (name for name in scenarios if name != REPLAYED):
            about = [cell for cell in of_epsilon if cell.scenario == scenario]
            names = dict.fromkeys(name for cell in about for name in cell.targets)
            of_scenario = list(_worst_of_each(tuple(names), clean, about, epsilon))
            told |= {(each.system, each.scenarios) for each in of_scenario}
            found += of_scenario
        names = dict.fromkeys(score.system for cell in of_epsilon for score in cell.scores)
        over_all = _worst_of_each(tuple(names), clean, of_epsilon, epsilon)
        found += [each for each in over_all if (each.system, each.scenarios) not in told]
    return tuple(found)


def _worst_of_each(
    systems: Sequence[str], clean: Sequence[Cell], attacked: Sequence[Cell], epsilon: float
) -> Iterator[Worst]:
    for system in systems:
        about = [cell for cell in attacked if cell.score_of(system) is not None]
        if not about:
            continue
        scores = [score for cell in (*clean, *about) if (score := cell.score_of(system)) is not None]
        n = min(score.n for score in scores)
        num_right = int(np.logical_and.reduce([unpacked(score)[:n] for score in scores]).sum())
        yield Worst(system=system, epsilon=epsilon, scenarios=tuple(dict.fromkeys(cell.scenario for cell in about)),
                    attacks=tuple(dict.fromkeys(cell.attack for cell in about)), n=n, num_right=num_right,
                    percent=100 * num_right / n, interval_95=wilson_interval_percent(num_right, n))  # fmt: skip
