"""What `benchmark latency` was asked for, checked before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from capgan_benchmarks.latency.own import RUNTIMES
from capgan_benchmarks.latency.protocol import Scenario
from capgan_edge.errors import ConfigError

_MAX_SIDE_PX = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyRequest:
    """One run of the benchmark."""

    subject: str
    artifacts: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    """Empty is the scenario's own."""
    scenario: Scenario = "single-stream"
    against: tuple[str, ...] = ()
    runtime: str = "ort"
    """What runs the artifacts; others beside it are named in `against`."""
    source: str | None = None
    is_mlperf: bool = False
    threads: int | None = None
    """None is as many as this process may use."""
    min_seconds: float = 10.0
    min_queries: int = 1000
    num_rounds: int = 10
    warm_up_seconds: float = 1.0
    warm_up_queries: int = 50
    num_settling: int = 3
    camera_frame: tuple[int, int] | None = None
    has_roof: bool = True
    allow_host_code: bool = False
    """Run the code that a version-compatible engine brings along."""
    compared: Path | None = None

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ConfigError(f"runtime is one of {', '.join(RUNTIMES)}, got {self.runtime!r}; choose one of these")
        if not self.min_seconds > 0 or self.min_queries < self.num_rounds or self.num_rounds < 2:
            raise ConfigError(
                f"expected seconds above 0, at least 2 rounds and a query a round, got {self.min_seconds} s, "
                f"{self.num_rounds} rounds and {self.min_queries} queries; the defaults are 10, 10 and 1000"
            )


def scenario_from_text(text: str) -> Scenario:
    """Return a scenario by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    known: dict[str, Scenario] = {name: name for name in get_args(Scenario)}
    if text not in known:
        raise ConfigError(f"scenario is one of {', '.join(known)}, got {text!r}; choose one of these")
    return known[text]


def batches_from_text(text: str) -> tuple[int, ...]:
    """Return `1,8,64` as numbers; nothing is none.

    Raises:
        ConfigError: something else.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[1-9]\d{0,3}", part) for part in parts):
        raise ConfigError(f"--batch takes counts of frames from 1 to 9999 with commas, as 1,8,64, got {text!r}")
    return tuple(dict.fromkeys(int(part) for part in parts))


def frame_from_text(text: str | None) -> tuple[int, int] | None:
    """Return `1920x1080` as height and width.

    Raises:
        ConfigError: something else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if found is None or max(int(found[1]), int(found[2])) > _MAX_SIDE_PX:
        raise ConfigError(f"--frame is width x height in px, as 1920x1080, at most {_MAX_SIDE_PX}, got {text!r}")
    return int(found[2]), int(found[1])


def names_from_options(values: Sequence[str]) -> tuple[str, ...]:
    """Return names given one an option or with commas."""
    return tuple(name for value in values for name in (part.strip() for part in value.split(",")) if name)
