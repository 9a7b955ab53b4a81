"""What the gate says of one thing that it compared, whatever that is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, Protocol

Outcome = Literal["passed", "failed", "skipped"]
"""As CI systems know it; what is skipped is seen, and fails nothing."""


class Judged(Protocol):
    """One line of the gate, one case of a JUnit file."""

    @property
    def suite(self) -> str:
        """A threat model, or another kind of comparison."""

    @property
    def title(self) -> str:
        """What was compared; unlike any other of its suite."""

    @property
    def words(self) -> str:
        """The verdict with its figures, on one line."""

    @property
    def outcome(self) -> Outcome:
        """Whether the gate fails."""

    @property
    def failure_type(self) -> str:
        """What a failure is called."""

    @property
    def is_said(self) -> bool:
        """Whether it is printed: all that did not go as in the baseline."""

    @property
    def cost(self) -> tuple[Hashable, float]:
        """What was paid for it and how many seconds, which all that name the same share."""


def has_failed(judged: Sequence[Judged]) -> bool:
    """Whether the gate fails; what is skipped does not fail it."""
    return any(each.outcome == "failed" for each in judged)
