"""A runner that has trouble around the real one: slow, or failing in some of its calls."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.runner import Outputs, Runner


class TroubledRunner:
    """Run the real one, but take `seconds` longer, and fail in calls `failing` (numbered from 0)."""

    def __init__(self, runner: Runner, *, failing: range = range(0), seconds: float = 0.0) -> None:
        self.num_calls = 0
        self._runner, self._failing, self._seconds = runner, failing, seconds

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        number, self.num_calls = self.num_calls, self.num_calls + 1
        time.sleep(self._seconds)
        if number in self._failing:
            raise ArtifactError(f"expected the engine to run, but it failed in call {number}, as it was told to")
        return self._runner(frames_NHWC)

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked is asked of the real one."""
        return getattr(self._runner, name)

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> TroubledRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
