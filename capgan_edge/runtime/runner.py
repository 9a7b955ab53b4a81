"""All that camera loop, server and benchmarks know of an engine. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError


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


def outputs_from(arrays: Mapping[str, Any]) -> Outputs:
    """Return the arrays that an engine gave, by the graph's own names for them."""
    return Outputs(
        logits_NK=arrays["logits"],
        suspicion_N=arrays["suspicion"],
        purified_NHWC=arrays.get("purified"),
        raw_logits_NK=arrays.get("raw_logits"),
    )


def failed_call(num_frames: int, reason: str) -> ArtifactError:
    """Return the error of an engine that loaded a graph and does not run it."""
    return ArtifactError(
        f"expected the graph to run on {num_frames} frames, but: {reason}; "
        "give fewer frames at once if memory is short, else export the bundle again"
    )


class Runner(Protocol):
    """Run one fused graph on a batch of frames; arrays returned may be reused by the next call."""

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs: ...

    def close(self) -> None:
        """Free what the engine holds; a closed runner refuses calls."""

    def __enter__(self) -> Runner: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
