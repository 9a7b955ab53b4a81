"""The gate, on suspicion: frames that fool a system and raise no alarm, at 5 % false alarms.

The rule. Of an attack's n frames, those that fool the system and stay below the threshold that 5 % of the clean frames
exceed are unnoticed; the rise is their share now minus that of the baseline, in points. A comparison has

    risen         where the rise exceeds `max_rise`, and its 95 % interval leaves 0 out;
    inconclusive  where the rise exceeds `max_rise`, and 0 is in the interval: n is too small to tell it from luck;
    passed        where the rise does not exceed `max_rise`.

A record says how many frames are unnoticed, not which, so that images cannot be paired: the interval is that of two
samples that know nothing of each other (Newcombe's), which for the same images is wider than need be.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from capgan_benchmarks.robustness.comparable import is_compared, paired_cells, paired_detections, variant_of
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.judged import Outcome
from capgan_benchmarks.robustness.record import Cell, Counted, RobustnessRecord
from capgan_benchmarks.statistics import newcombe_interval_points
from capgan_edge.errors import DataError

State = Literal["passed", "risen", "inconclusive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionComparison:
    """One system's suspicion under one attack, before and now."""

    scenario: str
    attack: str
    epsilon: float | None
    variant: str
    """What tells this attack from others of its name; empty where it is the only one."""
    system: str
    before: Counted
    """Frames that fool and are not noticed, at 5 % false alarms."""
    now: Counted
    max_rise: float
    """In points."""
    suite: str = "suspicion"
    failure_type: str = "unnoticed"

    @property
    def rise_points(self) -> float:
        """Below 0 where fewer are unnoticed than were."""
        return 100 * (self.now.num / self.now.n - self.before.num / self.before.n)

    @property
    def interval_95(self) -> tuple[float, float]:
        """Of the rise, in points; unpaired."""
        return newcombe_interval_points((self.now.num, self.now.n), (self.before.num, self.before.n))

    @property
    def state(self) -> State:
        """By the rule above."""
        if self.rise_points <= self.max_rise:
            return "passed"
        return "risen" if self.interval_95[0] > 0 else "inconclusive"

    @property
    def outcome(self) -> Outcome:
        """What rose fails."""
        outcomes: dict[State, Outcome] = {"passed": "passed", "risen": "failed", "inconclusive": "skipped"}
        return outcomes[self.state]

    @property
    def is_said(self) -> bool:
        """All but what passed."""
        return self.state != "passed"

    @property
    def title(self) -> str:
        """Attack, threat model, budget and system."""
        bound = "" if self.epsilon is None else f", epsilon {epsilon_text(self.epsilon)}"
        variant = f", {self.variant}" if self.variant else ""
        return f"{self.attack} ({self.scenario}){bound}{variant}: suspicion of {self.system}"

    @property
    def words(self) -> str:
        """The verdict with its figures, on one line."""
        low, high = self.interval_95
        verdict = "inconclusive, n too small" if self.state == "inconclusive" else self.state
        return (
            f"{verdict}: fooled without an alarm at 5 % false alarms {100 * self.before.num / self.before.n:.2f} % "
            f"before, {100 * self.now.num / self.now.n:.2f} % now, rise {self.rise_points:.2f} points "
            f"[{low:.2f}, {high:.2f}], allowed {self.max_rise:g}; n = {self.now.n}, images not paired"
        )

    @property
    def cost(self) -> tuple[Hashable, float]:
        """Nothing: the attack is paid for by the accuracy on it."""
        return (self.suite, self.title), 0.0


def compare_detections(
    baseline: RobustnessRecord, record: RobustnessRecord, *, max_rise: float
) -> tuple[DetectionComparison, ...]:
    """Compare suspicion of two records wherever it was measured, in the baseline's order.

    Raises:
        ConfigError: the records are not of the same images, settings, attacks, systems or suspicions.
        DataError: a record contradicts itself.
    """
    found = []
    for then, now in paired_cells(baseline, record):
        for before, detection in paired_detections(then, now):
            if is_compared(detection.system, then, now, baseline, record):
                found.append(
                    DetectionComparison(
                        scenario=now.scenario, attack=now.attack, epsilon=now.epsilon, system=detection.system,
                        variant=variant_of(now, record.cells), max_rise=max_rise,
                        before=_of_cell(before.at_5.unnoticed, then), now=_of_cell(detection.at_5.unnoticed, now),
                    )
                )  # fmt: skip
    return tuple(found)


def _of_cell(counted: Counted, cell: Cell) -> Counted:
    if counted.n != cell.n or counted.num > counted.n:
        raise DataError(f"{cell.title}: expected at most {cell.n} unnoticed frames of {cell.n}, got {counted.num} of "
                        f"{counted.n}; the record was edited: make it again")  # fmt: skip
    return counted
