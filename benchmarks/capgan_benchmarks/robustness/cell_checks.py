"""Self-checks that read finished cells: does anyone who knows less, or does less, fool more?

Attacks are compared on the images that both were run on. One is only called better where McNemar's exact test says so
at 5 %, corrected for all comparisons of the check (Holm); and none is called sound whose difference is only known to
within more than 15 points. Shapes: N images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.paired import SIGNIFICANT, Pairs, holm
from capgan_benchmarks.robustness.record import Cell, Check, unpacked

QUERY = ("query", "artifact-query")
LESS_KNOWING = ("transfer", "white-box-victim", "bpda", "artifact-transfer")
GRADIENT = ("end-to-end", "class-head", "artifact-transfer", "artifact-fake-quant")
"""Gradients of the scored system or of its decision, or of its twin."""
WHITE_BOX = ("end-to-end", "class-head", "artifact-fake-quant")
DIRECT = (*QUERY, "end-to-end", "artifact-fake-quant")
"""The attacker climbs what is scored; elsewhere a longer climb may fit the surrogate alone and fool less."""
ZERO_GRADIENT_LIMIT_PERCENT = 1.0
WIDEST_POINTS = 15.0
"""Half the width of a 95 % interval: where it is wider, n is too small for a check to have passed."""
_ITERATED = re.compile(r"(.+)-(\d+)")
_EFFORT = ("attack", "epsilon", "steps", "queries", "seed", "step_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contest:
    """Two attacks on one system: the one that ought to fool as many at least, and the other."""

    stronger: Cell
    weaker: Cell
    system: str

    @property
    def pairs(self) -> Pairs:
        """On how many images the system is right under the stronger alone, under the weaker alone, ..."""
        stronger_N, weaker_N = (_right(cell, self.system) for cell in (self.stronger, self.weaker))
        n = min(len(stronger_N), len(weaker_N))
        return Pairs.of(stronger_N[:n], weaker_N[:n])

    @property
    def p_value(self) -> float:
        """That the stronger fools as many; 1 where it fools no fewer."""
        return self.pairs.p_value if self.pairs.drop_points > 0 else 1.0

    @property
    def is_telling(self) -> bool:
        """Whether n is large enough to say that nothing is wrong."""
        low, high = self.pairs.drop_interval_95
        return high - low <= 2 * WIDEST_POINTS

    @property
    def text(self) -> str:
        pairs = self.pairs
        stronger = 100 * (pairs.num_both + pairs.num_first) / pairs.n
        weaker = 100 * (pairs.num_both + pairs.num_second) / pairs.n
        low, high = pairs.drop_interval_95
        return (
            f"{self.system}: {_named(self.weaker)} leaves {weaker:.1f} % right, {_named(self.stronger)} "
            f"{stronger:.1f} %, difference {stronger - weaker:+.1f} ({low:+.1f} to {high:+.1f}), n={pairs.n}"
        )


def query_check(cells: Sequence[Cell]) -> Check:
    """Outputs alone must not fool more than gradients of the same system at the same epsilon."""
    return _verdict(
        "query attack against gradient attack", "no query attack fools more than the best gradient attack",
        _best_against_best(cells, GRADIENT, QUERY),
        "it takes a query attack and a gradient attack of the same system at the same epsilon",
    )  # fmt: skip


def transfer_check(cells: Sequence[Cell]) -> Check:
    """Who knows less must not fool more than who knows everything."""
    return _verdict(
        "transfer against white box", "no attack that knows less fools more than the best that knows everything",
        _best_against_best(cells, WHITE_BOX, LESS_KNOWING),
        "it takes a transferred attack and a white-box attack on the same system at the same epsilon",
    )  # fmt: skip


def effort_check(cells: Sequence[Cell]) -> Check:
    """More steps or queries, or a larger epsilon, must not fool fewer."""
    direct = [cell for cell in cells if cell.scenario in DIRECT and cell.epsilon is not None
              and _ITERATED.fullmatch(cell.attack)]  # fmt: skip
    by_length = _ladders(direct, lambda cell: (_kind_and_length(cell)[0], _level(cell)),
                         lambda cell: _kind_and_length(cell)[1])  # fmt: skip
    by_epsilon = _ladders(direct, _kind_and_length, _level)
    return _verdict(
        "more steps, larger epsilon", "neither more steps or queries nor a larger epsilon leaves more images right",
        [*by_length, *by_epsilon],
        "it takes one attack in two lengths or at two epsilons, on what it climbs itself",
    )  # fmt: skip


def zero_gradient_check(cells: Sequence[Cell]) -> Check:
    """Hardly any image may have a loss without a gradient."""
    held = [(cell.zero_gradient_percent, cell) for cell in cells if cell.zero_gradient_percent is not None]
    expected = f"at most {ZERO_GRADIENT_LIMIT_PERCENT:g} % of the images have a loss whose gradient is exactly zero"
    if not held:
        return Check(name="zero gradients", state="not run", expected=expected, came="no cell took a gradient")
    percent, worst = max(held, key=lambda each: each[0])
    return Check(name="zero gradients", state="passed" if percent <= ZERO_GRADIENT_LIMIT_PERCENT else "failed",
                 expected=expected, came=f"at most {percent:.1f} %, {_named(worst)}, n={worst.n}")  # fmt: skip


def _verdict(name: str, expected: str, contests: Sequence[_Contest], needs: str) -> Check:
    if not contests:
        return Check(name=name, state="not run", expected=expected, came=needs)
    corrected = holm([each.p_value for each in contests])
    lost = [each for each, p_value in zip(contests, corrected, strict=True) if p_value < SIGNIFICANT]
    if lost:
        came = f"{len(lost)} of {len(contests)} comparisons: " + "; ".join(each.text for each in lost)
        return Check(name=name, state="failed", expected=expected, came=came)
    telling = [each for each in contests if each.is_telling]
    closest = max(telling or contests, key=lambda each: each.pairs.drop_interval_95[0])
    power = f"{closest.text}; {_smallest(closest.pairs, len(contests))}"
    if not telling:
        return Check(name=name, state="not run", expected=expected, came="n too small to tell: no difference is known "
                     f"to within {WIDEST_POINTS:g} points; the closest: {power}")  # fmt: skip
    unknown = len(contests) - len(telling)
    vague = f", of {unknown} n is too small to tell" if unknown else ""
    return Check(name=name, state="passed", expected=expected,
                 came=f"0 of {len(contests)} comparisons{vague}; the closest: {power}")  # fmt: skip


def _smallest(pairs: Pairs, num_tests: int) -> str:
    points = pairs.smallest_significant_points(num_tests)
    return "no difference could fail" if points is None else f"the smallest difference that fails is {points:+.1f}"


def _best_against_best(cells: Sequence[Cell], strong: Sequence[str], weak: Sequence[str]) -> list[_Contest]:
    """For each system and epsilon, the attack of each kind that leaves the fewest right."""
    contests = []
    places = {(system, _level(cell)) for cell in cells if cell.epsilon is not None for system in _judged(cell)}
    for system, level in sorted(places):
        here = [cell for cell in cells if cell.epsilon is not None and _level(cell) == level
                and system in _judged(cell)]  # fmt: skip
        stronger, weaker = (
            min((cell for cell in here if cell.scenario in kind), key=partial(_percent, system=system), default=None)
            for kind in (strong, weak)
        )
        if stronger is not None and weaker is not None:
            contests.append(_Contest(stronger=stronger, weaker=weaker, system=system))
    return contests


def _ladders(
    cells: Sequence[Cell], shared: Callable[[Cell], Hashable], height: Callable[[Cell], float]
) -> Iterator[_Contest]:
    """Compare neighbouring rungs: cells that share everything but how much is done, by one system each."""
    ladders: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        for system in _judged(cell):
            ladders.setdefault((system, cell.scenario, _options(cell), shared(cell)), []).append(cell)
    for (system, *_), rungs in ladders.items():  # type: ignore[misc]  # keys are the tuples above
        for weaker, stronger in pairwise(sorted(rungs, key=height)):
            if height(weaker) < height(stronger):
                yield _Contest(stronger=stronger, weaker=weaker, system=system)


def _kind_and_length(cell: Cell) -> tuple[str, int]:
    found = _ITERATED.fullmatch(cell.attack)
    assert found is not None
    return found[1], int(found[2])


def _options(cell: Cell) -> str:
    """Return the settings that are no measure of effort: restarts, margins, temperatures."""
    return repr(sorted((name, str(value)) for name, value in cell.settings.items() if name not in _EFFORT))


def _level(cell: Cell) -> float:
    """Return epsilon so that the same one computed in two ways is the same."""
    return round(cell.epsilon or 0.0, 6)


def _judged(cell: Cell) -> tuple[str, ...]:
    """Return the systems that the threat model is about and that were scored."""
    return tuple(name for name in cell.targets if cell.score_of(name) is not None)


def _right(cell: Cell, system: str) -> NDArray[np.bool_]:
    score = cell.score_of(system)
    assert score is not None
    return unpacked(score)


def _percent(cell: Cell, system: str) -> float:
    return float(_right(cell, system).mean())


def _named(cell: Cell) -> str:
    return f"{cell.title} at {epsilon_text(cell.epsilon)}"
