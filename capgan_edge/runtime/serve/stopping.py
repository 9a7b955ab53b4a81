"""SIGTERM and Ctrl-C: the first asks for a clean end, whatever runs by then; the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While it is entered, both signals are noted; outside of the main thread, which alone may ask, neither."""

    def __init__(self) -> None:
        self.is_asked = False
        self._stop: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def then(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the first signal comes, or now where it has come already."""
        self._stop = stop
        if self.is_asked:
            stop()

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {name: signal.signal(name, self._on_signal) for name in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, before in self._before.items():
            signal.signal(name, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)  # does not return
        self.is_asked = True
        if self._stop is not None:
            self._stop()
