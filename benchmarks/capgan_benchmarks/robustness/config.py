"""What a robustness benchmark is asked to do."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from capgan_benchmarks.threats.catalogue import threat_named
from capgan_benchmarks.threats.rounding import levels_within
from capgan_edge.errors import ConfigError

Tier = Literal["quick", "paper", "standard"]
LEVELS = 255
USUAL_BATCH = 64
_WHOLE = re.compile(r"[0-9]+")
_SHARE = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""With a point, an e, or both; whole digits alone are asked for before."""
_FRACTION = re.compile(r"([0-9]*\.?[0-9]+)/([0-9]*\.?[0-9]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustnessConfig:
    """One benchmark. Empty tuples and None stand for what the tier says."""

    subject: str
    """A bundle's path, a run's, or a packaged pair's name."""
    artifacts: tuple[str, ...] = ()
    """Names in the bundle; empty is every graph that opens here."""
    backend: str = "onnxruntime"
    """What computes the graphs: `onnxruntime` or `openvino`."""
    precision: str | None = None
    """`bf16`: OpenVINO computes the FP32 graph in it; None is the graph's own."""
    scenarios: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    """Names of the menu."""
    epsilons: tuple[float, ...] = ()
    """L-infinity, pixels in [0, 1]."""
    n: int | None = None
    """Images, of the data's test split."""
    seed: int = 0
    """Of the choice of images and of the attacks."""
    tier: str = "quick"
    data: str | None = None
    """As `capgan_edge.data.load` takes it; None is what the subject was trained on."""
    against: str | None = None
    """The run or packaged pair that a bundle was exported from; None looks for it by its hash."""
    surrogate: Path | None = None
    """A victim's run for transfer; None is the one packaged beside a pair."""
    temperature: float = 1.0
    """Of artifact-fake-quant: what logits are divided by."""
    batch: int = USUAL_BATCH
    """Images attacked at once."""
    cache: Path | None = None
    """Where crafted batches are kept; None is the user's cache folder."""
    replays: tuple[Path, ...] = ()
    """Exported sets that are scored beside what is crafted."""
    threads: int | None = None
    """CPU threads of torch; None leaves torch's own choice."""
    allow_host_code: bool = False
    """Run the code that a version-compatible engine brings along."""

    def __post_init__(self) -> None:
        if self.tier not in get_args(Tier):
            raise ConfigError(
                f"expected a tier among {', '.join(get_args(Tier))}, got {self.tier!r}; name one of these"
            )
        for what, value, least in (("n", self.n, 1), ("batch", self.batch, 1), ("threads", self.threads, 1)):
            if value is not None and value < least:
                raise ConfigError(f"expected {what} of at least {least}, got {value}; pass a larger one")
        if self.seed < 0:
            raise ConfigError(f"expected a seed of 0 or more, got {self.seed}; the usual one is 0")
        for epsilon in self.epsilons:
            require_epsilon(epsilon, f"{epsilon:g}")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"expected a temperature above 0, got {self.temperature}; 1 leaves the logits as they are"
            )
        for name in self.scenarios:
            threat_named(name)


def epsilons_from_text(text: str) -> tuple[float, ...]:
    """Return the epsilons of `4,8/255,0.05`: whole digits are levels of 255, a number with `.` or `e` a share.

    Raises:
        ConfigError: one is neither these nor a fraction, lies outside [0, 1], or leaves 8-bit frames as they are.
    """
    return tuple(dict.fromkeys(_epsilon(part.strip()) for part in text.split(",") if part.strip()))


def _epsilon(text: str) -> float:
    if _WHOLE.fullmatch(text):
        epsilon = float(text) / LEVELS
    elif _SHARE.fullmatch(text):
        epsilon = float(text)
        if epsilon > 1:
            raise ConfigError(
                f"expected a share of at most 1 where an epsilon has a point or an e, got {text}; write levels of 255 "
                "in whole digits (8), or as a fraction (8/255)"
            )
    elif (fraction := _FRACTION.fullmatch(text)) and float(fraction[2]):
        epsilon = float(fraction[1]) / float(fraction[2])
    else:
        raise ConfigError(
            f"expected epsilons as in 4,8,16 (levels of 255), 8/255, 0.03 or 3e-2 (shares), got {text!r}; separate "
            "them with commas"
        )
    require_epsilon(epsilon, text)
    return epsilon


def require_epsilon(epsilon: float, text: str) -> None:
    """Raise ConfigError unless an epsilon is 0 or lies in [1/255, 1]: of less, rounding to 8 bits leaves nothing."""
    if not 0 <= epsilon <= 1:
        raise ConfigError(
            f"expected an epsilon in [0, 1], which is 0 to 255 in levels, got {text}; 8 and 8/255 are the usual one"
        )
    if epsilon > 0 and not levels_within(epsilon):
        raise ConfigError(
            f"expected an epsilon of 0, or of at least one 8-bit level, 1/255 or {1 / LEVELS:.4f}, got {text}, of "
            "which rounding to 8-bit frames leaves nothing; 8 and 8/255 are the usual one"
        )


def epsilon_text(epsilon: float | None) -> str:
    """Return an epsilon for people, in levels of 255 where it is whole."""
    if epsilon is None:
        return "none"
    levels = epsilon * LEVELS
    return f"{levels:.0f}/255" if abs(levels - round(levels)) < 1e-6 else f"{epsilon:.4g}"


def names_from_text(texts: Sequence[str]) -> tuple[str, ...]:
    """Return names that were given with commas, in several options, or both."""
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
