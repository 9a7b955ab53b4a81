"""Captures that do what cameras do on a bad day; and runners that are slow or broken around the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.runner import Outputs
from capgan_edge.runtime.stream.capture import Picture

Step = NDArray[np.uint8] | Callable[[], None] | None


class ScriptedCamera:
    """Give frames, call what is to be called, and be lost at the end of the script."""

    fps = None

    def __init__(self, steps: Iterable[Step]) -> None:
        self.num_unreadable = 0
        self.is_closed = False
        self._steps: Iterator[Step] = iter(steps)

    def read(self) -> Picture | None:
        for step in self._steps:
            if callable(step):
                step()
                continue
            if step is None:
                return None
            return Picture(frame_HWC=step, arrived_s=time.monotonic(), capture_ms=0.1)
        return None

    def close(self) -> None:
        self.is_closed = True


class Connections:
    """Open one script after the other; an opening that should fail is an exception."""

    def __init__(self, *scripts: Iterable[Step] | Exception) -> None:
        self.num_opened = 0
        self.cameras: list[ScriptedCamera] = []
        self._scripts = list(scripts)

    def __call__(self) -> ScriptedCamera:
        script = self._scripts[min(self.num_opened, len(self._scripts) - 1)]
        self.num_opened += 1
        if isinstance(script, Exception):
            raise script
        self.cameras.append(ScriptedCamera(script))
        return self.cameras[-1]


class Runner:
    """The real runner of a classifier, with something done before each call. `before` gets the call's number."""

    def __init__(self, classifier: Classifier, before: Callable[[int], None]) -> None:
        self.num_calls = 0
        self.batches: list[int] = []
        self._real, self._before = classifier._runner, before

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        number, self.num_calls = self.num_calls, self.num_calls + 1
        self.batches.append(len(frames_NHWC))
        self._before(number)
        return self._real(frames_NHWC)

    def close(self) -> None:
        """The real one is closed by whom it belongs to."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def around(classifier: Classifier, before: Callable[[int], None], *, max_batch: int = 64) -> tuple[Classifier, Runner]:
    """Return a classifier that runs like another one, after `before`."""
    runner = Runner(classifier, before)
    made = Classifier(runner, labels=classifier.labels, size_px=classifier.size_px, max_batch=max_batch)
    return made, runner


def failing(numbers: Callable[[int], bool]) -> Callable[[int], None]:
    """Return what fails in the calls that `numbers` says."""

    def before(number: int) -> None:
        if numbers(number):
            raise CapganError(f"the engine failed in call {number}")

    return before


class Gate:
    """Let calls wait until it is opened."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def wait(self) -> None:
        self._event.wait(30)
