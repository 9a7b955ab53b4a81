"""What a verification found in all: the structure, every artifact's verdict, and the exit code that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from capgan_export.gate.judging import Judged, Trial
from capgan_export.verification import Verification

PASSED, REGRESSION, CANNOT_RUN = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Structure first; where that did not let a gate be made, there are no verdicts."""

    structure: Verification
    trial: Trial | None = None
    judged: tuple[Judged, ...] = ()
    wanted: tuple[str, ...] = ()
    """Artifacts that were asked for by name: of these, one that cannot be judged is an error."""
    is_written: bool = False
    """Whether cards and thresholds are in the manifest now."""

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Artifacts that were asked for by name and could not be judged."""
        return tuple(name for name in self.wanted if name in self.not_judged)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """Artifacts that could not be judged here, whether they were asked for by name or not."""
        return tuple(judged.artifact for judged in self.judged if judged.verdict == "not made")

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a regression, 2 an artifact that was asked for could not be judged, or none at all."""
        if not self.structure.passed or any(judged.verdict == "failed" for judged in self.judged):
            return REGRESSION
        is_none_judged = bool(self.judged) and len(self.not_judged) == len(self.judged)
        return CANNOT_RUN if self.unjudged or is_none_judged else PASSED

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        held = None if self.trial is None else self.trial.held
        return {
            **self.structure.to_json(),
            "passed": self.exit_code == PASSED,
            "not_judged": list(self.not_judged),
            "artifacts": [judged.to_json() for judged in self.judged],
            "set": None if held is None or self.trial is None else {
                "sha256": self.trial.set_sha256, "data": held.data, "seed": held.seed, "twin": held.twin,
                "kinds": [{"title": kind.title, "n": len(kind)} for kind in held.kinds],
            },
            "gates": None if self.trial is None else {
                "name": self.trial.gates.name, "sha256": self.trial.gates.sha256,
            },
            "written": self.is_written,
        }  # fmt: skip
