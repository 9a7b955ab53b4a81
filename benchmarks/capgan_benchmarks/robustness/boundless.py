"""The self-check on attacks without an epsilon: one that may go any distance must fool nearly everything it climbs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from capgan_benchmarks.robustness.cell_checks import WIDEST_POINTS
from capgan_benchmarks.robustness.paired import SIGNIFICANT, holm
from capgan_benchmarks.robustness.record import Cell, Check
from capgan_benchmarks.robustness.systems import VICTIM
from capgan_benchmarks.statistics import wilson_interval_percent

LIMIT_PERCENT = 5.0
"""Of the images: what rounding to 8 bits and images that need more steps may leave."""
NAME = "attack without a bound"
EXPECTED = (
    f"an attack without epsilon, end to end, past the defence (bpda) or on the bare victim itself, leaves at most "
    f"{LIMIT_PERCENT:g} % right"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Left:
    """What an attack without a bound left right of a system that it climbs."""

    cell: Cell
    system: str
    num_right: int
    n: int

    @property
    def interval_95(self) -> tuple[float, float]:
        return wilson_interval_percent(self.num_right, self.n)

    @property
    def p_value(self) -> float:
        """That no more than the limit are right; doubled, as only one side of a 95 % interval is looked at."""
        return min(1.0, 2 * _share_of_at_least(self.num_right, self.n))

    @property
    def text(self) -> str:
        low, high = self.interval_95
        return f"{self.system}: {self.cell.title} leaves {self.num_right} of {self.n} right ({low:.1f}-{high:.1f} %)"


def boundless_check(cells: Sequence[Cell]) -> Check:
    """An attack that may go any distance must not leave a significant share right, or it is the attack that failed."""
    held = [left for cell in cells if cell.epsilon is None for left in _left_by(cell)]
    if not held:
        return Check(name=NAME, state="not run", expected=EXPECTED, came="no such attack was run (cw is one)")
    corrected = holm([each.p_value for each in held])
    survived = [each for each, p_value in zip(held, corrected, strict=True) if p_value < SIGNIFICANT]
    if survived:
        return Check(name=NAME, state="failed", expected=EXPECTED, came="; ".join(each.text for each in survived))
    telling = [each for each in held if each.interval_95[1] - each.interval_95[0] <= 2 * WIDEST_POINTS]
    most = max(telling or held, key=lambda each: each.interval_95[0])
    power = f"{most.text}; {_fewest(most.n, len(held))} right would fail"
    if not telling:
        return Check(name=NAME, state="not run", expected=EXPECTED, came=f"n too small to tell: {power}")
    return Check(name=NAME, state="passed", expected=EXPECTED, came=f"at most {power}")


def _left_by(cell: Cell) -> list[_Left]:
    """Return what is left of each system that the attack climbs itself, or through the identity."""
    systems = {"end-to-end": cell.targets, "bpda": cell.targets, "white-box-victim": (VICTIM,)}.get(cell.scenario, ())
    scores = [score for score in map(cell.score_of, systems) if score is not None]
    return [_Left(cell=cell, system=each.system, num_right=each.num_right, n=each.n) for each in scores]


def _share_of_at_least(num: int, n: int) -> float:
    """Return the probability that so many of n or more are right, where each is by the limit."""
    share = LIMIT_PERCENT / 100
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(share)
            + (n - k) * math.log1p(-share) for k in range(num, n + 1))  # fmt: skip
    return math.fsum(map(math.exp, logs))


def _fewest(n: int, num_tests: int) -> str:
    """Return how many right would fail, alone among so many tests."""
    few = next((k for k in range(n + 1) if 2 * num_tests * _share_of_at_least(k, n) < SIGNIFICANT), None)
    return "no number" if few is None else str(few)
