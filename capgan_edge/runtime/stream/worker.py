"""A thread for the passes of one loop, one after the other: whoever waits for a pass may stop waiting."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from capgan_edge.runtime.stream.failure import EngineHungError

T = TypeVar("T")


class Running(Generic[T]):
    """Work that was begun."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.began_s = time.monotonic()
        self._work = work
        self._result: T | None = None
        self._error: Exception | None = None
        self._is_done = threading.Event()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return whether it is done, after waiting for it no longer than this; None waits as long as it takes."""
        return self._is_done.wait(None if timeout_s is None else max(0.0, timeout_s))

    def result(self) -> T:
        """Return what work that is done returned; what it raised is raised here."""
        assert self._is_done.is_set()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where T is

    def run(self) -> None:
        """Do the work; called once, by the worker's thread."""
        try:
            self._result = self._work()
        except Exception as error:  # handed to the thread that asks for the result
            self._error = error
        finally:
            self._is_done.set()


class Worker:
    """One thread for all passes, since engines keep state by thread. A pass that hangs is left behind with it.

    The thread that waits stays free for signals, which a call into an engine is not.
    """

    def __init__(self, hang_s: float) -> None:
        """`hang_s`: a pass that takes longer hangs."""
        self._hang_s = hang_s
        self._begun: SimpleQueue[Running[Any] | None] = SimpleQueue()
        threading.Thread(target=_serve, args=(self._begun,), name="inference", daemon=True).start()
        self._end = weakref.finalize(self, self._begun.put, None)  # also where nobody closes it

    def begin(self, work: Callable[[], T]) -> Running[T]:
        """Begin work; the one before must be done."""
        running = Running(work)
        self._begun.put(running)
        return running

    def finished(self, running: Running[T]) -> T:
        """Return the result, waiting for it.

        Raises:
            EngineHungError: it takes longer than `hang_s`.
        """
        running.wait(running.began_s + self._hang_s - time.monotonic())
        self.refuse_hung(running)
        return running.result()

    def refuse_hung(self, running: Running[T]) -> None:
        """Raises EngineHungError where the work is not done and takes longer than `hang_s` by now."""
        if not running.wait(0) and time.monotonic() - running.began_s >= self._hang_s:
            raise EngineHungError(
                f"expected the engine to end its pass within {self._hang_s:g} s, but it hangs; restart the program, "
                "and if that does not help, the device; where a pass may take that long, allow more (hang_s)"
            )

    def close(self) -> None:
        """Let the thread end after what it does now."""
        self._end()


def _serve(begun: SimpleQueue[Running[Any] | None]) -> None:
    while (running := begun.get()) is not None:
        running.run()
        del running  # what it holds is not kept until the next one
