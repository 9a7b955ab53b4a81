"""What an engine is asked to be: precision, batches, targets, and TensorRT's own switches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.fields import Precision
from capgan_edge.runtime.sidecar import MAX_BATCH, Profile

DEFAULT_PROFILE = Profile(min=1, opt=1, max=8)
"""A camera gives a frame at a time, and one frame a few regions."""
_MAX_WORKSPACE_GIB = 1024
"""More than any GPU has; TensorRT counts bytes in 64 bits."""
_TARGET = re.compile(r"sm_[0-9]{2,3}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """One engine."""

    precision: Precision
    """Of the graph that is compiled: precision is in the graph, and no switch of the builder changes it."""
    profile: Profile = DEFAULT_PROFILE
    """Batch sizes."""
    targets: tuple[str, ...] = ()
    """`sm_86` and the like; empty leaves it to TensorRT: this machine, or TensorRT-RTX's portable set."""
    workspace_gib: float | None = None
    """Memory that tactics may use; None leaves it to TensorRT, which takes all there is."""
    timing_cache: Path | None = None
    """A file of timings that this device and this TensorRT wrote: read where it is there, and written anew."""
    is_version_compatible: bool = False
    is_hardware_compatible: bool = False

    def __post_init__(self) -> None:
        for target in self.targets:
            if not _TARGET.fullmatch(target):
                raise ConfigError(f"expected a target such as sm_86, got {target!r}; name compute capability 8.6 so")
        if len(set(self.targets)) != len(self.targets):
            raise ConfigError(f"expected every target once, got {', '.join(self.targets)}; leave the repeats out")
        if self.workspace_gib is not None and not 0 < self.workspace_gib <= _MAX_WORKSPACE_GIB:  # NaN is neither
            raise ConfigError(
                f"expected a workspace above 0 GiB and of at most {_MAX_WORKSPACE_GIB}, got {self.workspace_gib}; "
                "leave it out for all"
            )

    @property
    def workspace_bytes(self) -> int | None:
        """The limit in bytes."""
        return None if self.workspace_gib is None else int(self.workspace_gib * (1 << 30))


def profile_from_text(text: str) -> Profile:
    """Return the batches of `min,opt,max`, or of one number, which then is all three.

    Raises:
        ConfigError: not of this form, or not in this order.
    """
    parts = text.split(",")
    parts = parts * 3 if len(parts) == 1 else parts
    try:
        smallest, tuned, largest = (int(part) for part in parts)
        return Profile(min=smallest, opt=tuned, max=largest)
    except ValueError:  # pydantic's is one too
        raise ConfigError(
            f"expected --batch as min,opt,max with 1 <= min <= opt <= max <= {MAX_BATCH}, such as 1,1,8, "
            f"got {text[:40]!r}; "
            "one number alone is a fixed batch"
        ) from None


def sorted_targets(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return architectures from the oldest to the newest: `sm_89` before `sm_120`."""
    return tuple(sorted(targets, key=lambda name: int(name.removeprefix("sm_"))))
