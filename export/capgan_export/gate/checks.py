"""The checks of a gate: numeric, task and robustness, each a value, a limit and a verdict.

Shapes: N frames, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.card import CardCheck
from capgan_export.gate.artifacts import Said
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import Limits
from capgan_export.gate.statistics import paired_difference_interval, wilson_interval

AGREEMENT = "top-1 agreement, clean"
_TINY = 1e-12


def checks_of(held: GateSet, said: Sequence[Said], limits: Limits) -> tuple[CardCheck, ...]:
    """Return every check of one artifact; where an output is not finite nothing else can be said, and that one fails.

    Args:
        held: the frames, with what the twin said.
        said: what the artifact says of each kind of frames, in the set's order.
        limits: of the artifact's precision.
    """
    assert len(said) == len(held.kinds)
    finite = _finite(said)
    if not finite.passed:
        return (finite,)
    drops = [_drop(kind, told, limits) for kind, told in zip(held.kinds, said, strict=True)]
    return (finite, *_numeric(held, said, limits), _agreement(held.clean, said[0], limits), *drops)


def _finite(said: Sequence[Said]) -> CardCheck:
    """No NaN or infinity, and every suspicion in [0, 1]."""
    bad, n = 0, 0
    for told in said:
        is_good_N = np.isfinite(told.logits_NK).all(axis=1) & (told.suspicion_N >= 0) & (told.suspicion_N <= 1)
        bad, n = bad + int((~is_good_N).sum()), n + len(is_good_N)
    return CardCheck(name="not finite", kind="numeric", value=bad,
                     comparison="at most", limit=0, unit="frames", n=n, passed=bad == 0)  # fmt: skip


def _numeric(held: GateSet, said: Sequence[Said], limits: Limits) -> tuple[CardCheck, CardCheck]:
    twin_NK = np.concatenate([kind.twin_logits_NK for kind in held.kinds]).astype(np.float64)
    own_NK = np.concatenate([told.logits_NK for told in said]).astype(np.float64)
    worst = float(np.abs(own_NK - twin_NK).max() / max(1.0, float(np.abs(twin_NK).max())))
    lengths_N = np.linalg.norm(own_NK, axis=1) * np.linalg.norm(twin_NK, axis=1)
    cosine = float((((own_NK * twin_NK).sum(axis=1) + _TINY) / (lengths_N + _TINY)).mean())
    n = len(twin_NK)
    return (
        CardCheck(name="logits, largest difference", kind="numeric", value=worst, comparison="at most",
                  limit=limits.max_abs_logits, unit="share", n=n, passed=worst <= limits.max_abs_logits),
        CardCheck(name="logits, mean cosine", kind="numeric", value=cosine, comparison="at least",
                  limit=limits.cosine, unit="cosine", n=n, passed=cosine >= limits.cosine),
    )  # fmt: skip


def _agreement(clean: JudgedFrames, told: Said, limits: Limits) -> CardCheck:
    """The same label on clean frames; fails where the whole interval is below the limit."""
    n = len(clean)
    num_same = int((told.logits_NK.argmax(1) == clean.twin_logits_NK.argmax(1)).sum())
    low, high = wilson_interval(num_same, n)
    return CardCheck(name=AGREEMENT, kind="task", value=100 * num_same / n, comparison="at least",
                     limit=100 * limits.top1_agreement, unit="%", n=n, interval_95=(100 * low, 100 * high),
                     passed=high >= limits.top1_agreement)  # fmt: skip


def _drop(kind: JudgedFrames, told: Said, limits: Limits) -> CardCheck:
    """Loss of accuracy against the twin on the same frames; fails where it is above its limit and no luck."""
    pairs, limit = Pairs.of(kind, told), drop_limit(kind, limits)
    low, high = pairs.interval_95
    return CardCheck(name=drop_name(kind), kind="task" if kind.attack is None else "robustness",
                     value=pairs.loss_points, comparison="at most", limit=limit, unit="points", n=len(kind),
                     interval_95=(100 * low, 100 * high), passed=not pairs.fail(limit))  # fmt: skip


def drop_name(kind: JudgedFrames) -> str:
    """Return what the check of a loss on these frames is called."""
    return f"loss of accuracy, {kind.title}"


def drop_limit(kind: JudgedFrames, limits: Limits) -> float:
    """Return the loss on these frames that is allowed, in points."""
    return limits.clean_drop_points if kind.attack is None else limits.attacked_drop_points


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Twin and artifact on the same frames: on how many each of them is right."""

    both: int
    lost: int
    """The twin alone is."""
    won: int
    """The artifact alone is."""
    neither: int

    @classmethod
    def of(cls, kind: JudgedFrames, told: Said) -> Pairs:
        """Count."""
        twin_N = is_right(kind.twin_logits_NK, kind.labels_N)
        own_N = is_right(told.logits_NK, kind.labels_N)
        both, lost, won = (int(are_N.sum()) for are_N in (twin_N & own_N, twin_N & ~own_N, ~twin_N & own_N))
        return cls(both=both, lost=lost, won=won, neither=len(kind) - both - lost - won)

    @property
    def loss_points(self) -> float:
        """Loss of accuracy, in percentage points."""
        return 100 * (self.lost - self.won) / (self.both + self.lost + self.won + self.neither)

    @property
    def interval_95(self) -> tuple[float, float]:
        """Of the loss, in [-1, 1]."""
        return paired_difference_interval(self.both, self.lost, self.won, self.neither)

    def fail(self, limit_points: float) -> bool:
        """Whether the loss is above its limit and no luck."""
        return self.interval_95[0] > 0 and self.loss_points > limit_points


def is_right(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the label of each frame is the true one, [N]."""
    is_right_N: NDArray[np.bool_] = np.equal(logits_NK.argmax(1), labels_N)
    return is_right_N
