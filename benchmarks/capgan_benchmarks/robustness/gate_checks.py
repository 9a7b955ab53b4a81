"""The gate, on self-checks: masked gradients raise every accuracy, so that accuracies alone pass what broke the attack.

The rule. A self-check that fails now and did not fail in the baseline fails the gate. One that ran in the baseline and
does not now, and one that failed already, is said and fails nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from capgan_benchmarks.robustness.judged import Outcome
from capgan_benchmarks.robustness.record import Check, RobustnessRecord

_GONE = "this run has no such check"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckComparison:
    """One self-check, before and now."""

    before: Check | None
    """None where the baseline has no such check."""
    now: Check
    suite: str = "self-checks"
    failure_type: str = "self-check"

    @property
    def title(self) -> str:
        """The check's name."""
        return self.now.name

    @property
    def outcome(self) -> Outcome:
        """By the rule above; "not run" is skipped, also where it was not run before."""
        if self.now.state == "passed":
            return "passed"
        return "failed" if self.now.state == "failed" and self._before != "failed" else "skipped"

    @property
    def is_said(self) -> bool:
        """All but what passed, and what was not run before either."""
        return self.now.state == "failed" or (self.now.state == "not run" and self._before in ("passed", "failed"))

    @property
    def words(self) -> str:
        """The states with what was expected and what came."""
        masked = "; figures may be higher than an attacker leaves them" if self.now.state == "failed" else ""
        return (
            f"{self.now.state} now, {self._before} in the baseline: expected {self.now.expected}; came "
            f"{self.now.came}{masked}"
        )

    @property
    def cost(self) -> tuple[Hashable, float]:
        """Nothing that was timed."""
        return (self.suite, self.title), 0.0

    @property
    def _before(self) -> str:
        return "not there" if self.before is None else self.before.state


def compare_checks(baseline: RobustnessRecord, record: RobustnessRecord) -> tuple[CheckComparison, ...]:
    """Compare the self-checks of two records, in the order of now; those that are gone come last, as not run."""
    before, now = ({check.name: check for check in held.checks} for held in (baseline, record))
    gone = [check.model_copy(update={"state": "not run", "came": _GONE})
            for name, check in before.items() if name not in now]  # fmt: skip
    return tuple(CheckComparison(before=before.get(check.name), now=check) for check in (*now.values(), *gone))
