"""Attacks by name, with the settings of the paper's tables, and how long each takes in passes of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_edge.attacks import Attack

_QUICK = "quick"
_BY_RATIO = ("APGDT", "AutoAttack")
"""Climb the difference-of-logits ratio, which is made of four classes."""
_STEPS = {"steps": 1}
_QUERIES = {"queries": 1}
_GRADIENT_PASSES = 3.0
"""Of a step: one forward, and one backward that counts two."""
_CW: dict[str, Any] = {"kappa": 20.0}
_SEARCH: dict[str, Any] = {**_CW, "c": 1e-3, "search_steps": 9}


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuItem:
    """One kind of attack."""

    kind: str
    """Its class in capgan_edge.attacks."""
    length: int
    """Steps, or queries, unless the name says another number."""
    quick_length: int
    """The same in the tier quick."""
    lengths: Mapping[str, int]
    """Settings that grow with the length, as multiples of it."""
    passes: float = _GRADIENT_PASSES
    """About how many passes forward an image takes for each of the length, without stopping early."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs_gradients: bool = True
    has_epsilon: bool = True
    most_images: int | None = None
    """Slow attacks are run on so many at most."""
    stops_at_boundary: bool = False
    """Whether an image is left as soon as it fools what is attacked: little past the boundary of that one model, so
    that it says next to nothing of another."""
    to_the_end: Mapping[str, Any] = field(default_factory=dict)
    """Settings that let it go on, where it can."""


_MENU: Mapping[str, MenuItem] = {
    "fgsm": MenuItem(kind="FGSM", length=1, quick_length=1, lengths={}),
    "pgd": MenuItem(kind="PGD", length=40, quick_length=40, lengths=_STEPS),
    "mi-fgsm": MenuItem(kind="MIFGSM", length=20, quick_length=20, lengths=_STEPS),
    "cw": MenuItem(kind="CWL2", length=1000, quick_length=100, lengths=_STEPS, settings=_CW, has_epsilon=False,
                   most_images=1000),
    "cw-search": MenuItem(kind="CWL2", length=1000, quick_length=100, lengths=_STEPS, settings=_SEARCH,
                          has_epsilon=False, passes=9 * _GRADIENT_PASSES, most_images=1000),
    "spsa": MenuItem(kind="SPSA", length=100, quick_length=2, lengths=_STEPS, needs_gradients=False, passes=2049,
                     most_images=256, stops_at_boundary=True),
    "square": MenuItem(kind="Square", length=5000, quick_length=200, lengths=_QUERIES, needs_gradients=False, passes=1,
                       most_images=1000, stops_at_boundary=True),
    "square-r5": MenuItem(kind="Square", length=5000, quick_length=200, lengths=_QUERIES, settings={"restarts": 5},
                          needs_gradients=False, passes=5, most_images=1000, stops_at_boundary=True),
    "apgd-ce": MenuItem(kind="APGDCE", length=100, quick_length=20, lengths=_STEPS, most_images=1000,
                        stops_at_boundary=True, to_the_end={"stops_early": False}),
    "apgd-t": MenuItem(kind="APGDT", length=100, quick_length=20, lengths=_STEPS, passes=9 * _GRADIENT_PASSES,
                       most_images=1000, stops_at_boundary=True),
    "fab-t": MenuItem(kind="FABT", length=100, quick_length=20, lengths=_STEPS, passes=9 * (_GRADIENT_PASSES + 1),
                      most_images=1000, stops_at_boundary=True),
    "autoattack": MenuItem(kind="AutoAttack", length=100, quick_length=20, lengths={"steps": 1, "queries": 50},
                           passes=19 * _GRADIENT_PASSES + 59, most_images=1000,
                           stops_at_boundary=True),
}  # fmt: skip
_NUMBERED = {"pgd-7": ("pgd", 7), "pgd-40": ("pgd", 40)}
NAMES = tuple(name for name in (*_MENU, *_NUMBERED) if name != "pgd")
_WITH_LENGTH = re.compile(r"([a-z][a-z0-9-]*)-([1-9]\d{0,5})")


def attack_from_name(name: str, *, epsilon: float, seed: int, tier: str, is_transferred: bool = False) -> Attack:
    """Return an attack of the menu; the tier quick makes slow ones short where the name says no length.

    What is transferred is meant to fool another model than the one it is made on, and goes on past the boundary of that
    where it can.

    Raises:
        ConfigError: there is no attack of that name, or epsilon is outside [0, 1].
    """
    import capgan_edge.attacks

    item, length = _item(name, tier)
    settings = {**item.settings, **{what: times * length for what, times in item.lengths.items()}, "seed": seed}
    if is_transferred:
        settings |= item.to_the_end
    if item.has_epsilon:
        settings["epsilon"] = epsilon
    attack: Attack = getattr(capgan_edge.attacks, item.kind)(**settings)
    return attack


def needs_gradients(name: str) -> bool:
    """Whether an attack takes gradients, or lives of outputs alone."""
    return _item(name)[0].needs_gradients


def stops_at_boundary(name: str, *, is_transferred: bool) -> bool:
    """Whether an attack leaves an image as soon as it fools what is attacked, also where it is meant for another."""
    item = _item(name)[0]
    return item.stops_at_boundary and not (is_transferred and item.to_the_end)


def kind_of(name: str) -> str:
    """Return an attack's class in `capgan_edge.attacks`."""
    return _item(name)[0].kind


def fewest_classes(name: str) -> int:
    """Return how many classes an attack needs: of the targeted ratio of logits, four."""
    return 4 if _item(name)[0].kind in _BY_RATIO else 2


def is_square(name: str) -> bool:
    """Whether an attack asks for whole frames within epsilon and nothing else, as artifact-query wants it."""
    return _item(name)[0].kind == "Square"


def has_epsilon(name: str) -> bool:
    """Whether an attack keeps to an L-infinity budget; CW does not."""
    return _item(name)[0].has_epsilon


def is_autoattack(name: str, tier: str, *, is_standard: bool = True) -> bool:
    """Whether an attack is AutoAttack, and where `is_standard` is asked, of no fewer steps than the standard's."""
    item, length = _item(name, tier)
    return item.kind == "AutoAttack" and (length >= item.length or not is_standard)


def most_images(name: str, n: int) -> int:
    """Return on how many of n images an attack is run."""
    return min(_item(name)[0].most_images or n, n)


def passes_of(name: str, tier: str) -> float:
    """Return about how many passes forward of its model an attack takes an image."""
    item, length = _item(name, tier)
    return item.passes * length


def distinct(names: Sequence[str], tier: str) -> tuple[str, ...]:
    """Return the names without those of an attack that is named before: `square-200` is `square` of the tier quick.

    Raises:
        ConfigError: there is no attack of one of these names.
    """
    kept: dict[str, tuple[MenuItem, int]] = {}
    for name in names:
        attack = _item(name, tier)
        if attack not in kept.values():
            kept[name] = attack
    return tuple(kept)


def require_attack(name: str) -> None:
    """Raise ConfigError unless the menu has an attack of that name."""
    _item(name)


def _item(name: str, tier: str = "") -> tuple[MenuItem, int]:
    """Return the kind of attack and its length."""
    if name in _MENU:
        item = _MENU[name]
        return item, item.quick_length if tier == _QUICK else item.length
    found = _WITH_LENGTH.fullmatch(name)
    if found is None or found[1] not in _MENU or not _MENU[found[1]].lengths:
        raise ConfigError(
            f"expected an attack among {', '.join(NAMES)}, or one of another length (pgd-20, square-1000, spsa-1), "
            f"got {name!r}; name one of these"
        )
    return _MENU[found[1]], int(found[2])
