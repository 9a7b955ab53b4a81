"""Where events go: outputs that may fail without taking the loop with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from capgan_edge.runtime.stream.event import Event

OutputState = Literal["on", "failed"]


class Sink(Protocol):
    """One output."""

    def write(self, event: Event) -> None:
        """Take an event; raises where it can take no more."""

    def close(self) -> None:
        """Finish what was written; raises as `write` does."""


@dataclass(slots=True)
class Output:
    """A sink that is switched off when it fails; the loop goes on without it."""

    name: str
    sink: Sink
    is_stdout: bool = False
    """Where its reader goes, the program ends, as everywhere (`| head`)."""
    state: OutputState = "on"
    reason: str | None = None
    num_lost: int = 0
    """Events that came after it had failed."""

    def write(self, event: Event) -> bool:
        """Pass an event on; return whether the output has failed on this very event."""
        if self.state == "failed":
            self.num_lost += 1
            return False
        return self._tried(lambda: self.sink.write(event))

    def close(self) -> bool:
        """Finish, also what has failed; return whether it failed only now."""
        has_failed = self.state == "failed"
        return self._tried(self.sink.close) and not has_failed

    def _tried(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # a full disk, a codec that gives up: whatever it is, the loop does not stop for it
            if self.is_stdout and isinstance(error, BrokenPipeError):
                raise
            self.state = "failed"
            self.reason = self.reason or " ".join(str(error).split()) or type(error).__name__
            return True
        return False
