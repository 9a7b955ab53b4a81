"""How many requests are open at once, and how much they hold: past either bound a client is told to come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.refusals import Refusal


class Ticket:
    """One open request's share of the memory for bodies."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.num_bytes = 0

    def charge(self, num_bytes: int) -> None:
        """Take more, or refuse with 503 where all together hold too much."""
        if self._gate.num_bytes + num_bytes > self._gate.max_bytes:
            raise Refusal(503, "expected room for the body, but others fill it; come again later")
        self.num_bytes += num_bytes
        self._gate.num_bytes += num_bytes


class Gate:
    """Counts requests in and out; for one event loop."""

    def __init__(self, *, max_open: int, max_bytes: int) -> None:
        self.max_open, self.max_bytes = max_open, max_bytes
        self.num_open = self.num_bytes = 0

    @contextmanager
    def entered(self) -> Iterator[Ticket]:
        """Hold a place, and what is charged to the ticket, for the time of a request; 503 where all are taken."""
        if self.num_open >= self.max_open:
            raise Refusal(503, f"expected a free place, but {self.max_open} requests are open; come again later")
        ticket = Ticket(self)
        self._count(1)
        try:
            yield ticket
        finally:
            self._count(-1)
            self.num_bytes -= ticket.num_bytes

    def _count(self, step: int) -> None:
        self.num_open += step
        metrics.OPEN.set(self.num_open)
