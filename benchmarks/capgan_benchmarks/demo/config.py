"""What the demo does, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from capgan_benchmarks.latency.in_turn import LatencyConfig
from capgan_edge.errors import ConfigError

MADE_BY = "capgan-edge demo"
"""Marks a report, so that a later demo may replace it."""
EPSILON = 8 / 255
STEP = 2 / 255
PGD_STEPS = 20
FGSM_NAME, PGD_NAME = "FGSM", f"PGD-{PGD_STEPS}"
END_TO_END_NAME = f"end-to-end {PGD_NAME}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """One run of the demo."""

    pair: str = "signs-nano"
    """The packaged weights."""
    recipe: str = "signs-demo"
    """What `is_trained` makes: a pair for the same signs, by less training than the packaged one."""
    n: int = 500
    """Road signs drawn."""
    num_end_to_end: int = 128
    """How many of them, from the first on, are attacked end to end, which costs more."""
    seed: int = 0
    """Of the drawing and of the attacks."""
    is_trained: bool = False
    """Whether the weights are made from nothing first."""
    threads: int | None = None
    """CPU threads of ONNX Runtime; None is all that this process may use."""
    latency: LatencyConfig = field(default_factory=LatencyConfig)

    def __post_init__(self) -> None:
        if self.n < 40 or self.num_end_to_end < 1:
            raise ConfigError(
                f"expected n >= 40 (parity is checked on as many frames) and num_end_to_end >= 1, got {self.n} and "
                f"{self.num_end_to_end}; the defaults are 500 and 128"
            )
        if self.seed < 0 or (self.threads is not None and self.threads < 1):
            raise ConfigError(
                f"expected seed >= 0 and threads >= 1, got {self.seed} and {self.threads}; the default seed is 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """A bound on one figure, in its unit."""

    figure: str
    sense: Literal[">=", "<="]
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a value is on the right side of the bound."""
        return value >= self.bound if self.sense == ">=" else value <= self.bound


EXPECTATIONS = (
    Expectation(figure="victim, clean", sense=">=", bound=97),
    Expectation(figure=f"victim, {PGD_NAME}", sense="<=", bound=20),
    Expectation(figure=f"purified, {PGD_NAME}", sense=">=", bound=80),
    Expectation(figure="purified, clean", sense=">=", bound=93),
)
"""What the packaged weights were made to hold."""
