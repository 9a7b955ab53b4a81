"""What is timed: something that takes uint8 frames and gives logits. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["victim", "purified", "classify", "peer"]
Call = Callable[[Any], Any]


class Stopwatch:
    """Adds up what is spent in the engine itself: kernels, and on a GPU the copies to it and back."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._started_s = 0.0

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.total_s += time.perf_counter() - self._started_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """One way from frames to logits."""

    name: str
    role: Role
    runtime: str
    """`ort`, `openvino`, `tensorrt`, `torch-eager` and so on."""
    provider: str
    """What the runtime says that it ran on."""
    precision: str
    call: Call
    """Takes uint8 frames [N, H, W, 3], gives logits [N, K]; `classify` takes frames as they come, gives verdicts."""
    engine: Stopwatch
    """What `call` spends in the engine; the rest is the host's: scaling, copies, softmax."""
    artifact: str | None = None
    sha256: str | None = None
    """Of the bytes that ran."""
    artifact_sha256: str | None = None
    """Of the artifact that they are, or were cut out of."""
    note: str | None = None
    """What a reader must know, e.g. that the network was never trained."""
    close: Callable[[], None] = field(default=lambda: None)
    takes_camera_frames: bool = False
    """Its frames may be of any size."""
