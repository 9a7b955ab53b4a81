"""How the camera loop behaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from capgan_edge.errors import ConfigError

DeadlinePolicy = Literal["hold", "bypass", "stop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """Deadlines, votes and patience of one loop."""

    deadline_ms: float | None = None
    """Largest age of a frame when its verdict is there, in milliseconds; None sets no deadline."""
    on_deadline_miss: DeadlinePolicy = "hold"
    every_frame: bool = False
    """Take all frames of a file, however long each takes, instead of the newest at the file's own pace."""
    is_looped: bool = False
    """Start a file again when it ends."""
    vote: int = 5
    """Verdicts of a track that vote on its label (a count)."""
    frozen_after: int = 10
    """Identical frames in a row that are frozen (a count); 0 labels none."""
    stall_s: float = 2.0
    """Seconds without a frame after which a source is stalled."""
    lost_s: float = 10.0
    """Seconds without a frame after which a source is given up and opened again."""
    retry_s: float = 0.5
    """Seconds before the first attempt to open a lost source again; doubled each time, up to 30."""
    max_failures: int = 10
    """Passes in a row that may fail (a count); with the next the loop ends."""
    hang_s: float = 30.0
    """Seconds after which a pass of the engine hangs, which ends the loop; first passes may take longer."""
    bypass_frames: int = 30
    """Frames that go unpurified after a miss (a count), before the purifier is tried again."""
    with_purified: bool = False
    """Give each event the purified picture of the crop that is suspected most; the graph must give `purified`."""

    def __post_init__(self) -> None:
        if self.on_deadline_miss not in get_args(DeadlinePolicy):
            raise ConfigError(
                f"on_deadline_miss is one of {', '.join(get_args(DeadlinePolicy))}, got {self.on_deadline_miss!r}; "
                "hold is the default"
            )
        for name, least in (("vote", 1), ("frozen_after", 0), ("max_failures", 0), ("bypass_frames", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is a count of at least {least}, got {value!r}; leave it out for the default")
        for name in ("stall_s", "lost_s", "retry_s", "hang_s"):
            self._check_positive(name, "seconds")
        if self.deadline_ms is not None:
            self._check_positive("deadline_ms", "milliseconds")
        if self.stall_s > self.lost_s:
            raise ConfigError(
                f"a source stalls before it is lost, got stall_s {self.stall_s} and lost_s {self.lost_s}; "
                "give stall_s the smaller one"
            )

    def _check_positive(self, name: str, unit: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise ConfigError(f"{name} is a number of {unit} above 0, got {value!r}; leave it out for the default")
