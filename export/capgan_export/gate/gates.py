"""What an artifact is held to: limits for each precision, and the attacks; frozen, and checked when they are made.

No artifact fails by the luck of a few frames. A loss of accuracy is paired: the same frames through artifact and twin,
so that only those count which the two decide differently. It fails where it is above its limit and its 95 % interval
does not reach down to zero: too large, and no luck. The share of equal labels fails where its whole 95 % interval is
below the limit. More frames find smaller losses; too few are refused, and `verify` says beside each such check at which
value it would have failed. What is no share of a sample (the largest
difference, the mean cosine) is held to its limit as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.card_check import CLASS_HEAD

FEWEST_FRAMES = 32
"""With fewer, no loss that matters could be told from luck."""
Method = Literal["fgsm", "pgd"]
Knowledge = Literal["f", "f(T(.))", "the class head"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How far an artifact of one precision may be from its FP32 twin."""

    max_abs_logits: float
    """Largest difference of a logit, as a share of the twin's largest where that is above 1."""
    cosine: float
    """Mean over the frames of the cosine between the logits of a frame, in [-1, 1]."""
    top1_agreement: float
    """Share of clean frames with the same label, in [0, 1]."""
    clean_drop_points: float
    """Loss of clean accuracy, in percentage points."""
    attacked_drop_points: float
    """Loss of accuracy under an attack, in percentage points."""

    def __post_init__(self) -> None:
        _require("max_abs_logits", self.max_abs_logits, 0, math.inf)
        _require("cosine", self.cosine, -1, 1)
        _require("top1_agreement", self.top1_agreement, 0, 1)
        _require("clean_drop_points", self.clean_drop_points, 0, 100)
        _require("attacked_drop_points", self.attacked_drop_points, 0, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackSpec:
    """One attack, made with the twin's gradients and the true labels, in the L-infinity norm."""

    method: Method
    on: Knowledge
    """Whose gradient: the classifier's alone, that of both, or that of the purifier's class head, where it has one."""
    epsilon: float = 8 / 255
    """In the unit of the images, which lie in [0, 1]."""
    steps: int = 1
    """Of pgd, each of epsilon / 4 after a random start; fgsm is one step of epsilon."""
    num_frames: int = 256

    def __post_init__(self) -> None:
        for name, value, allowed in (("method", self.method, Method), ("on", self.on, Knowledge)):
            if value not in get_args(allowed):
                raise ConfigError(f"{name} of an attack is one of {', '.join(get_args(allowed))}, got {value!r}")
        _require("epsilon of an attack (8/255 is 0.0314)", self.epsilon, 0, 1)
        if self.epsilon == 0:
            raise ConfigError(
                "epsilon of an attack is above 0 (8/255 is 0.0314), got 0: that attacks nothing; raise it"
            )
        _require("steps of an attack", self.steps, 1, 1 if self.method == "fgsm" else 10_000)
        _require("num_frames of an attack", self.num_frames, FEWEST_FRAMES, math.inf)

    @property
    def title(self) -> str:
        """What figures call it, e.g. `PGD-40 on f(T(.))`; the epsilon is named where it is not the usual 8/255."""
        method = "FGSM" if self.method == "fgsm" else f"PGD-{self.steps}"
        budget = "" if math.isclose(self.epsilon, 8 / 255) else f" at {255 * self.epsilon:.4g}/255"
        return f"{method} on {self.on}{budget}"

    @property
    def identity(self) -> tuple[str, str, float, int]:
        """What makes it another attack: all but the number of frames."""
        return self.method, self.on, self.epsilon, self.steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Gates:
    """All that `verify` holds an artifact to."""

    limits: Mapping[str, Limits]
    """By precision: fp32, fp16, int8; what OpenVINO computes in BF16 is held to those of fp16."""
    attacks: tuple[AttackSpec, ...]
    """May be empty: then nothing is said of robustness, and no card of it counts as passing."""
    seed: int = 0
    num_frames: int = 1000
    """Clean frames."""

    def __post_init__(self) -> None:
        if set(self.limits) != {"fp32", "fp16", "int8"}:
            raise ConfigError(f"expected limits for fp32, fp16 and int8, got {', '.join(self.limits) or 'none'}")
        _require("seed", self.seed, 0, 2**63 - 1)
        _require("num_frames", self.num_frames, FEWEST_FRAMES, math.inf)
        if len({attack.identity for attack in self.attacks}) != len(self.attacks):
            raise ConfigError("expected every attack once, got one that is named twice; leave one of the two out")

    def fitting(self, *, has_class_head: bool) -> Gates:
        """Return the gates with the attacks that there are on such a purifier."""
        return replace(self, attacks=tuple(a for a in self.attacks if has_class_head or a.on != CLASS_HEAD))


def _require(name: str, value: Any, low: float, high: float) -> None:
    if not low <= value <= high or value == math.inf:
        bound = f"in [{low:g}, {high:g}]" if high < math.inf else f"of at least {low:g}"
        raise ConfigError(
            f"{name} is a finite number {bound}, got {value}; capgan-edge verify --help names the defaults"
        )
