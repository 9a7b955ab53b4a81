"""Where gates are laxer than the shipped ones: a card of such gates says so, and does not count as passing."""

from __future__ import annotations

import math
from dataclasses import fields

from capgan_export.gate.frames import GateSet
from capgan_export.gate.gates import AttackSpec, Gates, Limits
from capgan_export.gate.gates_file import load_gates

_AT_LEAST = ("cosine", "top1_agreement")
"""Limits from below; the others are from above."""


def laxer_than_shipped(gates: Gates, held: GateSet, precision: str, *, has_class_head: bool) -> tuple[str, ...]:
    """Return in what an artifact of this precision was held to less than the shipped gates ask; empty is in nothing.

    What counts is the frames it was judged on, not those that were asked for: a stored set, or a small test set, may
    have fewer.
    """
    shipped = load_gates().gates.fitting(has_class_head=has_class_head)
    return (
        *_laxer_limits(gates.limits[precision], shipped.limits[precision]),
        *_too_few("clean", len(held.clean), shipped.num_frames),
        *(reason for attack in shipped.attacks for reason in _laxer_attack(held, attack)),
    )


def _laxer_limits(own: Limits, shipped: Limits) -> list[str]:
    reasons = []
    for name in (field.name for field in fields(Limits)):
        is_above, mine, theirs = name in _AT_LEAST, getattr(own, name), getattr(shipped, name)
        if mine < theirs if is_above else mine > theirs:
            reasons.append(f"{name} {mine:g} for {theirs:g}")
    return reasons


def _laxer_attack(held: GateSet, wanted: AttackSpec) -> list[str]:
    """Another epsilon is another attack, also a larger one: under it the twin may have nothing left to lose."""
    lengths = [len(kind) for kind in held.attacked if kind.attack is not None and _is_as_strong(kind.attack, wanted)]
    return _too_few(wanted.title, max(lengths), wanted.num_frames) if lengths else [f"no {wanted.title}"]


def _is_as_strong(own: AttackSpec, wanted: AttackSpec) -> bool:
    is_alike = (own.method, own.on) == (wanted.method, wanted.on) and math.isclose(own.epsilon, wanted.epsilon)
    return is_alike and own.steps >= wanted.steps


def _too_few(what: str, n: int, wanted: int) -> list[str]:
    return [f"{n} of {wanted} frames {what}"] if n < wanted else []
