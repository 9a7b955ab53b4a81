"""Where gRPC's clients send their messages: a few seats, which a silent client loses as soon as another comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from capgan_edge.runtime.serve.refusals import Refusal

T = TypeVar("T")
_PATIENCE_S = 1.0
"""How long a client keeps its seat while others wait for one, in seconds."""


class _Seat:
    """A client's place, in the line or where messages are received."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.called: asyncio.Future[None] = loop.create_future()
        self.taken_away: asyncio.Future[None] = loop.create_future()
        self.since_s = 0.0


class Reception:
    """Receive a bounded number of messages at once; for one event loop.

    gRPC holds a message whole before it says how large it is, so that the bytes that are being received are bounded by
    the number of seats alone. The newest in line is called first: clients that never send anything would hold up all
    that come after them otherwise.
    """

    def __init__(self, *, seats: int, max_waiting: int, patience_s: float = _PATIENCE_S) -> None:
        self._num_seats, self._max_waiting, self._patience_s = seats, max_waiting, patience_s
        self._seated: dict[_Seat, None] = {}  # in the order they sat down
        self._line: deque[_Seat] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def receive(self, read: Callable[[], Awaitable[T]], *, timeout_s: float) -> T:
        """Return what `read` gives.

        Raises:
            Refusal: it gave nothing in `timeout_s`, or in a shorter time while others waited, or too many wait.
        """
        seat = _Seat(asyncio.get_running_loop())
        if len(self._line) >= self._max_waiting:
            _call(self._line.popleft(), Refusal(503, f"expected a free seat, but {self._max_waiting} calls wait for "
                                                     "one; come again later"))  # fmt: skip
        self._line.append(seat)
        self._admit()
        try:
            return await asyncio.wait_for(_read(seat, read), timeout_s)
        except asyncio.TimeoutError:
            raise Refusal(408, f"expected a message within {timeout_s:g} s, got none; send it at once") from None
        finally:
            self._leave(seat)

    def drain(self) -> None:
        """Let those who are here send what they have begun, and give up who has not sent it in the usual patience."""
        asyncio.get_running_loop().call_later(self._patience_s, self._clear)

    def _admit(self) -> None:
        """Call in as many as there is room for; a seat that was held for too long counts as room."""
        loop = asyncio.get_running_loop()
        while self._line:
            if len(self._seated) >= self._num_seats:
                oldest = next(iter(self._seated))
                left_s = oldest.since_s + self._patience_s - loop.time()
                if left_s > 0:
                    self._timer = self._timer or loop.call_later(left_s, self._look_again)
                    return
                self._take_away(oldest)
            seat = self._line.pop()
            if not seat.called.done():  # its time may be over
                seat.since_s = loop.time()
                self._seated[seat] = None
                _call(seat)

    def _look_again(self) -> None:
        self._timer = None
        self._admit()

    def _take_away(self, seat: _Seat) -> None:
        del self._seated[seat]
        seat.taken_away.set_result(None)

    def _leave(self, seat: _Seat) -> None:
        self._seated.pop(seat, None)
        if seat in self._line:
            self._line.remove(seat)
        self._admit()

    def _clear(self) -> None:
        while self._line:
            _call(self._line.popleft(), Refusal(503, "expected a call before the server was told to stop; come again"))
        for seat in list(self._seated):
            self._take_away(seat)


def _call(seat: _Seat, refusal: Refusal | None = None) -> None:
    if seat.called.done():
        return
    if refusal is None:
        seat.called.set_result(None)
    else:
        seat.called.set_exception(refusal)


async def _read(seat: _Seat, read: Callable[[], Awaitable[T]]) -> T:
    await seat.called
    reading = asyncio.ensure_future(read())
    try:
        await asyncio.wait((reading, seat.taken_away), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
    finally:
        reading.cancel()
    raise Refusal(503, "expected a message at once, since others wait to send theirs, got none; come again later")
