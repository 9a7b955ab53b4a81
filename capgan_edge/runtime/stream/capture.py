"""One opened source: frames out, RGB, each with the time of its arrival by the monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.stream.box import Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What a source gave."""

    frame_HWC: NDArray[np.uint8]
    """RGB; nobody writes into it any more."""
    arrived_s: float
    """By `time.monotonic`."""
    capture_ms: float
    """From its arrival to its pixels."""
    boxes: tuple[Box, ...] | None = None
    """Where something is to see, by sources that know (the demo); None by all others."""


class Capture(Protocol):
    """An opened source, used by one thread at a time."""

    fps: float | None
    """The pace of a recording; None where the source keeps its own pace."""
    num_unreadable: int
    """Frames so far that came and could not be decoded."""

    def read(self) -> Picture | None:
        """Return the next frame that can be decoded, waiting for it; None where the source has ended or is lost."""

    def close(self) -> None:
        """Let go of the source."""


CaptureOpener = Callable[[], Capture]
"""Opens the source, waiting as long as it takes; raises a CapganError where it cannot."""
