"""A gate for CI: this record against an earlier one, image by image, per attack and per system.

The rule. On the same n images, `lost` are those that a system got right in the baseline and gets wrong now, `won` the
other way round; the drop is 100 (lost - won) / n points. A comparison has

    dropped       where the drop exceeds `max_drop`, and McNemar's exact test of lost against won has p < 0.05;
    inconclusive  where the drop exceeds `max_drop`, and p is not below 0.05: n is too small to tell it from luck;
    passed        where the drop does not exceed `max_drop`.

The test is two-sided and a drop has one side, so that luck alone drops a system in fewer than 2.5 % of comparisons.
Comparisons are not corrected for one another. Attacks are crafted anew on the new weights: images are paired by index,
frames are not the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from capgan_benchmarks.robustness.comparable import is_compared, paired_cells, paired_scores, variant_of
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.judged import Outcome
from capgan_benchmarks.robustness.paired import Pairs, mcnemar_p_value
from capgan_benchmarks.robustness.record import RobustnessRecord, unpacked
from capgan_edge.errors import ConfigError

SIGNIFICANT = 0.05
State = Literal["passed", "dropped", "inconclusive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One system on one attack, before and now."""

    scenario: str
    attack: str
    epsilon: float | None
    variant: str
    """What tells this attack from others of its name, as in `restarts 5`; empty where it is the only one."""
    system: str
    pairs: Pairs
    """The first is the baseline, the second is now."""
    seconds: float
    """Wall time of the attack now."""
    max_drop: float
    """In points."""
    failure_type: str = "drop"

    @property
    def n(self) -> int:
        return self.pairs.n

    @property
    def before_percent(self) -> float:
        """Accuracy in the baseline."""
        return 100 * (self.pairs.num_both + self.pairs.num_first) / self.n

    @property
    def now_percent(self) -> float:
        """Accuracy now."""
        return 100 * (self.pairs.num_both + self.pairs.num_second) / self.n

    @property
    def drop_points(self) -> float:
        """Below 0 where accuracy rose."""
        return self.pairs.drop_points

    @property
    def interval_95(self) -> tuple[float, float]:
        """Of the drop, in points."""
        return self.pairs.drop_interval_95

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided."""
        return self.pairs.p_value

    @property
    def state(self) -> State:
        """By the rule above."""
        if self.drop_points <= self.max_drop:
            return "passed"
        return "dropped" if self.p_value < SIGNIFICANT else "inconclusive"

    @property
    def suite(self) -> str:
        """The threat model."""
        return self.scenario

    @property
    def outcome(self) -> Outcome:
        """A drop fails."""
        outcomes: dict[State, Outcome] = {"passed": "passed", "dropped": "failed", "inconclusive": "skipped"}
        return outcomes[self.state]

    @property
    def is_said(self) -> bool:
        """All but what passed."""
        return self.state != "passed"

    @property
    def cost(self) -> tuple[Hashable, float]:
        """The attack, which every system that was scored on it shares."""
        return (self.scenario, self.attack, self.epsilon, self.variant), self.seconds

    @property
    def smallest_drop(self) -> float | None:
        """The smallest drop that would have failed with as many images won as were won, in points; None where the
        baseline has too little to lose."""
        return _smallest_failing_drop(self.pairs, self.max_drop)

    @property
    def title(self) -> str:
        """Attack, budget and system."""
        bound = "" if self.epsilon is None else f", epsilon {epsilon_text(self.epsilon)}"
        return f"{self.attack}{bound}{f', {self.variant}' if self.variant else ''}: {self.system}"

    @property
    def words(self) -> str:
        """Return the verdict with its figures, on one line."""
        (low, high), seen = self.interval_95, self.smallest_drop
        sees = "the baseline has too little to lose for any drop to show" if seen is None else (
            f"the smallest drop that fails is {seen:.2f} points"
        )  # fmt: skip
        verdict = "inconclusive, n too small" if self.state == "inconclusive" else self.state
        return (
            f"{verdict}: {self.before_percent:.2f} % before, {self.now_percent:.2f} % now, drop "
            f"{self.drop_points:.2f} points [{low:.2f}, {high:.2f}], allowed {self.max_drop:g}; n = {self.n}, "
            f"{self.pairs.num_first} lost, {self.pairs.num_second} won, p = {self.p_value:.2g}; {sees}"
        )


def compare(baseline: RobustnessRecord, record: RobustnessRecord, *, max_drop: float) -> tuple[Comparison, ...]:
    """Compare every score of two records, clean ones included, in the baseline's order.

    A bare victim is compared on clean images and where an attack is aimed at it; elsewhere it is scored beside others
    on frames that were made against these, and what it gets of them is no property of its own. Where two threat models
    have the same frames, a system is compared on them once, in the one that is about it.

    Args:
        baseline: the earlier one.
        record: the one of now; weights and files may differ, nothing else that figures depend on may.
        max_drop: in points of accuracy, in [0, 100].

    Raises:
        ConfigError: the records are not of the same images, settings, attacks or systems; the difference is named.
        DataError: a record contradicts itself.
    """
    if not 0 <= max_drop <= 100:
        raise ConfigError(f"expected a max drop in points, in [0, 100], got {max_drop}; 1.0 is usual")
    found = []
    for then, now in paired_cells(baseline, record):
        for before, score in paired_scores(then, now):
            pairs = Pairs.of(unpacked(before), unpacked(score))
            if is_compared(score.system, then, now, baseline, record):
                found.append(
                    Comparison(scenario=now.scenario, attack=now.attack, epsilon=now.epsilon, system=score.system,
                               variant=variant_of(now, record.cells), pairs=pairs, seconds=now.seconds,
                               max_drop=max_drop)
                )  # fmt: skip
    if not found:
        raise ConfigError("expected scores to compare, got none in the baseline; make a new baseline")
    return tuple(found)


def _smallest_failing_drop(pairs: Pairs, max_drop: float) -> float | None:
    """Bisect over the images lost, of those that the baseline had right: more of them only ever fail more."""
    won, most = pairs.num_second, pairs.num_both + pairs.num_first
    low, high = won + 1, most + 1
    while low < high:
        lost = (low + high) // 2
        if 100 * (lost - won) / pairs.n > max_drop and mcnemar_p_value(lost, won) < SIGNIFICANT:
            high = lost
        else:
            low = lost + 1
    return 100 * (low - won) / pairs.n if low <= most else None
