"""How far a build is: TensorRT's phases lie in one another, and their steps add up to a share of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str, float], None]
"""Called with the innermost phase and the share done, in [0, 1], which never falls."""


@dataclass(slots=True)
class _Phase:
    parent: str | None
    num_steps: int
    num_done: int = 0


class BuildProgress:
    """Keeps the phases that TensorRT reports, and passes on the share of the outermost; may be told to cancel."""

    def __init__(self, report: Progress | None = None) -> None:
        self._report = report
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0
        self.is_cancelled = False
        """Set from any thread: the build ends at its next step."""

    def start(self, name: str, parent: str | None, num_steps: int) -> None:
        """A phase begins, inside another where that is named."""
        self._phases[name] = _Phase(parent if parent in self._phases and parent != name else None, max(num_steps, 1))
        self._tell(name)

    def step(self, name: str, index: int) -> bool:
        """A step of a phase is done; return whether the build may go on."""
        if name in self._phases:
            self._phases[name].num_done = index + 1
            self._tell(name)
        return not self.is_cancelled

    def finish(self, name: str) -> None:
        """A phase is over; the outermost one's end is the end of it all, whose last step TensorRT does not tell."""
        phase = self._phases.get(name)
        if phase is not None and phase.parent is None and not self.is_cancelled:
            phase.num_done = phase.num_steps
            self._tell(name)
        self._phases.pop(name, None)

    def _tell(self, name: str) -> None:
        phase, inner = self._phases[name], 0.0
        while True:
            inner = min((phase.num_done + inner) / phase.num_steps, 1.0)
            if phase.parent is None or phase.parent not in self._phases:
                break
            phase = self._phases[phase.parent]
        self._share = max(self._share, inner)
        if self._report is not None:
            self._report(name, self._share)
