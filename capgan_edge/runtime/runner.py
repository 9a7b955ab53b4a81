"""All that camera loop, server and benchmarks know of an engine. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What one call of a fused graph gives; the last two only where the graph was exported with them."""

    logits_NK: NDArray[np.float32]
    """The victim's logits on the purified frames."""
    suspicion_N: NDArray[np.float32]
    """In [0, 1]: how adversarial the purifier's own domain classifier finds each frame."""
    purified_NHWC: NDArray[np.uint8] | None = None
    raw_logits_NK: NDArray[np.float32] | None = None
    """The victim's logits on the frames as they came, for comparison."""


class Runner(Protocol):
    """Run one fused graph on a batch of frames; arrays returned may be reused by the next call."""

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs: ...

    def close(self) -> None:
        """Free what the engine holds; a closed runner refuses calls."""

    def __enter__(self) -> Runner: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
