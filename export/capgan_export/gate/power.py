"""What the checks of an artifact could have found: the value at which each would have failed on these frames.

A loss fails above its limit only where it is no luck, so that with few frames a larger one passes than the limit says;
and where the twin is hardly ever right there is nothing to lose, so that no artifact fails. Both are told.
"""

from __future__ import annotations

from collections.abc import Sequence

from capgan_export.gate.artifacts import Said
from capgan_export.gate.checks import AGREEMENT, Pairs, drop_limit, drop_name
from capgan_export.gate.frames import GateSet
from capgan_export.gate.gates import Limits
from capgan_export.gate.statistics import wilson_interval

NOTHING_TO_LOSE = "the twin has nothing to lose here"
TOO_LITTLE_TO_LOSE = "the twin has too little to lose here"
NO_SHARE_FAILS = "no share of so few frames is low enough"


def failing_values(held: GateSet, said: Sequence[Said], limits: Limits) -> dict[str, float | str]:
    """Return the mildest value that fails, by the name of the check and in its unit; a text where none does.

    The numeric checks are left out: they fail at their limits.
    """
    values: dict[str, float | str] = {AGREEMENT: _largest_failing_share(len(held.clean), limits.top1_agreement)}
    for kind, told in zip(held.kinds, said, strict=True):
        values[drop_name(kind)] = _smallest_failing_loss(Pairs.of(kind, told), drop_limit(kind, limits))
    return values


def _smallest_failing_loss(pairs: Pairs, limit_points: float) -> float | str:
    """Return it in points: of the frames on which the twin is right, so many lost, with those that were won as won."""
    num_right = pairs.both + pairs.lost
    for lost in range(1, num_right + 1):
        worse = Pairs(both=num_right - lost, lost=lost, won=pairs.won, neither=pairs.neither)
        if worse.fail(limit_points):
            return worse.loss_points
    return TOO_LITTLE_TO_LOSE if num_right else NOTHING_TO_LOSE


def _largest_failing_share(n: int, limit: float) -> float | str:
    """Return it in percent."""
    for num_same in range(n - 1, -1, -1):
        if wilson_interval(num_same, n)[1] < limit:
            return 100 * num_same / n
    return NO_SHARE_FAILS
