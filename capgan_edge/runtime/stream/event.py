"""What the camera loop says: one event for each processed frame, and one for each change of the source."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.stream.box import Box

SCHEMA_VERSION = 1
"""Of the JSON lines."""
SourceState = Literal["connecting", "live", "stalled", "lost", "ended"]
"""`stalled`: connected, but no frame for `stall_s`; `lost`: given up, and connecting again; `ended`: a file is over."""
PurifierState = Literal["active", "bypassed", "held", "idle"]
"""Where the verdicts come from: purified frames, the frames as they came, an earlier frame, or there are none."""
Health = Literal["ok", "black", "frozen"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionVerdict:
    """What one region shows, and what its track showed lately."""

    box: Box
    track_id: int
    index: int
    label: str
    score: float
    """Softmax probability of the class, in [0, 1]."""
    suspicion: float | None
    """In [0, 1]; None where the purifier was bypassed, since it is the purifier that suspects."""
    is_alarm: bool | None
    """The suspicion is above the artifact's threshold; None where there is no threshold or no suspicion."""
    raw_label: str | None
    """Without purification; None where the bundle was exported without it."""
    voted_label: str
    """The class with the largest sum of scores over the last verdicts of this track."""
    vote_share: float
    """Share of those verdicts that are for `voted_label`, in (0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencySplit:
    """Wall time by stage, in milliseconds; None for a stage that did not run or did not finish for this frame."""

    capture_ms: float
    """From the frame's arrival to its pixels."""
    resize_ms: float | None
    inference_ms: float | None
    post_ms: float
    """Health, regions, tracks and votes: all that is no other stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What has happened since the loop began."""

    frames: int = 0
    """Frames that got an event."""
    dropped: int = 0
    """Frames that a newer one replaced before they were looked at."""
    unreadable: int = 0
    """Frames that the source sent and the decoder refused."""
    errors: int = 0
    """Frames whose processing failed."""
    deadline_misses: int = 0
    held: int = 0
    """Frames answered with verdicts of an earlier one; those with nothing to hold are misses alone."""
    bypassed: int = 0
    black: int = 0
    frozen: int = 0
    regions_outside: int = 0
    """Regions that lay wholly outside their frame, and were not classified."""
    reconnects: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A processed frame (`kind` is "frame") or a change of the source (`kind` is "source", and there is no frame)."""

    kind: Literal["frame", "source"]
    number: int
    """Of the event, from 0."""
    source_state: SourceState
    reason: str | None = None
    """Why the source changed its state."""
    frame_number: int | None = None
    """Of the frame as captured, from 0; numbers that are missing were dropped."""
    captured_s: float | None = None
    """Seconds since 1970 by the clock as it stood when the loop began: later jumps of the wall clock are not in it."""
    age_ms: float | None = None
    """From the frame's arrival to this event, by the monotonic clock."""
    health: Health | None = None
    purifier_state: PurifierState = "idle"
    verdicts: tuple[RegionVerdict, ...] = ()
    suspicion: float | None = None
    """The largest of the verdicts' suspicions."""
    is_alarm: bool | None = None
    """Any verdict's alarm; None where no verdict can raise one."""
    is_deadline_missed: bool = False
    held_age_ms: float | None = None
    """Age of the frame that held verdicts belong to; None where nothing is held."""
    latency: LatencySplit | None = None
    error: str | None = None
    """Why this frame could not be processed."""
    counts: Counts = field(default_factory=Counts)
    frame_HWC: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    """RGB, in the source's size; read it, do not write into it."""
    purified_HWC: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    """The crop that is suspected most, purified, RGB in the graph's size; only with `StreamConfig.with_purified`, and
    only where the purifier ran on this very frame."""

    def as_json(self) -> dict[str, Any]:
        """Return the event without its pixels: plain values, and no NaN."""
        values: dict[str, Any] = {"schema": SCHEMA_VERSION}
        for name in self.__slots__:
            value = getattr(self, name)
            if name == "verdicts":
                value = [asdict(verdict) for verdict in value]
            elif name in ("latency", "counts") and value is not None:
                value = asdict(value)
            if name not in ("frame_HWC", "purified_HWC"):
                values[name] = value
        return values
