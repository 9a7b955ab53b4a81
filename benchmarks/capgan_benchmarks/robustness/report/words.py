"""Figures as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVELS = 255
_FINE_FROM = 1_000
"""Above so many images a second decimal says something."""
_WHOLE = 1e-3


def percent(value: float, n: int) -> str:
    """Return a share in percent, as fine as n images can tell."""
    return f"{value:.{2 if n > _FINE_FROM else 1}f} %"


def interval(ends: tuple[float, float], n: int) -> str:
    """Return the ends of an interval in percent, without the sign."""
    decimals = 2 if n > _FINE_FROM else 1
    return f"{ends[0]:.{decimals}f} to {ends[1]:.{decimals}f}"


def epsilon(value: float | None) -> str:
    """Return an L-infinity budget in levels of 255, where it is a whole number of them."""
    if value is None:
        return "unbounded"
    levels = LEVELS * value
    return f"{round(levels)}/255" if math.isclose(levels, round(levels), abs_tol=_WHOLE) else f"{value:.4g}"


def seconds(value: float) -> str:
    """Return a time with its unit."""
    if value < 60:
        return f"{value:.1f} s"
    minutes = value / 60
    return f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"


def plural(count: int, noun: str) -> str:
    """Return a count of things."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Return names joined as in a sentence."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "none"


def p_value(value: float) -> str:
    """Return a p-value; below a thousandth its size is what counts."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
