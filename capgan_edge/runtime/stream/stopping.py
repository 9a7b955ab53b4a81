"""How a program is asked to stop, and how it ends beside an engine that hangs."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.failure import EngineHungError
from capgan_edge.runtime.stream.worker import Worker


@contextlib.contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT set `stop`; a second one is what it was before: it ends the program at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        restore()


@contextlib.contextmanager
def closing_unless_hung(classifier: Classifier, *, hang_s: float) -> Iterator[None]:
    """Close a classifier at the end, after the pass that may still run; for programs, not for libraries.

    Where that pass hangs, closing would wait for it for ever, and the end of the interpreter may as well: then the
    engine is left as it is, and the process ends without it, with the error's exit code.

    Raises:
        EngineHungError: the pass that ran took longer than `hang_s`; or the error came from inside.
    """
    worker = Worker(hang_s)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: worker.finished(worker.begin(classifier.close)))
            try:
                yield
            except (EngineHungError, KeyboardInterrupt):  # a second Ctrl-C: at once
                stack.pop_all()
                raise
    except EngineHungError as error:
        atexit.register(os._exit, error.exit_code)  # runs first, after the error was told
        raise
    finally:
        worker.close()
