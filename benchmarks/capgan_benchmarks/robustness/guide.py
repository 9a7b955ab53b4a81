"""Write the tables of docs/robustness.md from the code: threat models, tiers, the menu of attacks, self-checks.

python -m capgan_benchmarks.robustness.guide
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from capgan_benchmarks.records import ROOT
from capgan_benchmarks.robustness import attack_menu
from capgan_benchmarks.robustness.boundless import boundless_check
from capgan_benchmarks.robustness.cell_checks import effort_check, query_check, transfer_check, zero_gradient_check
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.planning import TIERS, USUAL_EPSILON, TierPlan
from capgan_benchmarks.robustness.probes import PLANTED, UNBOUNDED
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_edge.errors import DataError
from capgan_edge.files import write_atomic

if TYPE_CHECKING:
    from capgan_edge.attacks import Attack

GUIDE = ROOT / "docs" / "robustness.md"
_COMMAND = "python -m capgan_benchmarks.robustness.guide"
_LENGTH_AND_BOUND = ("steps", "queries", "epsilon", "seed")
_MANY = 10**9
"""Images: more than any attack is run on."""


def threat_table() -> str:
    """Return a row a threat model, from the least that an attacker knows to the most."""
    rows = ((f"`{each.name}`", each.gradient_by, each.scored, each.knows) for each in THREATS)
    return _table(("`--scenarios`", "gradients or answers from", "scored", "the attacker knows"), rows)


def tier_table() -> str:
    """Return a row a threat model with the attacks of each tier, under how many images and which epsilons each has."""
    sizes = [("images", *("all" if each.n is None else str(each.n) for each in TIERS.values())),
             ("epsilons of the attacks in bold", *(_epsilons(each) for each in TIERS.values()))]  # fmt: skip
    attacks = ((f"`{threat.name}`", *(_attacks(each, threat.name) for each in TIERS.values())) for threat in THREATS)
    return _table(("", *(f"`{name}`" for name in TIERS)), (*sizes, *attacks))


def attack_table() -> str:
    """Return a row an attack of the menu, with its name in records in each tier; needs torch."""
    rows = []
    for name in attack_menu.NAMES:
        most = attack_menu.most_images(name, _MANY)
        rows.append((
            f"`{name}`", _title(name, "quick"), _title(name, "paper"), _unusual(name),
            "gradients" if attack_menu.needs_gradients(name) else "outputs",
            "L-infinity" if attack_menu.has_epsilon(name) else "none, mean L2 is told",
            "all" if most == _MANY else str(most),
        ))  # fmt: skip
    return _table(
        ("`--attacks`", "in `quick`", "in `paper`, `standard`", "with", "takes", "bound", "images at most"), rows
    )


def check_table() -> str:
    """Return a row a self-check, with what it expects."""
    held = (query_check, transfer_check, effort_check, boundless_check, zero_gradient_check)
    of_cells = (check(()) for check in held)
    rows = [*((check.name, check.expected) for check in of_cells), UNBOUNDED, PLANTED]
    return _table(("self-check", "passes where"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "threats": threat_table, "tiers": tier_table, "attacks": attack_table, "checks": check_table,
}  # fmt: skip


def with_tables(text: str) -> str:
    """Return the page with its tables between their markers.

    Raises:
        DataError: a marker is missing.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by `{_COMMAND}`, never by hand -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise DataError(f"expected the markers {begin!r} and {end!r} in {GUIDE.name}, in this order; put them back")
        text = f"{head}{begin}\n\n{table()}\n\n{end}{tail}"
    return text


def _epsilons(tier: TierPlan) -> str:
    return ", ".join(map(epsilon_text, tier.epsilons))


def _attacks(tier: TierPlan, scenario: str) -> str:
    return ", ".join(f"**{name}**" if name in tier.swept else name for name in tier.attacks.get(scenario, ()))


def _title(name: str, tier: str) -> str:
    from capgan_benchmarks.threats.crafting import attack_title

    return attack_title(_attack(name, tier))


def _unusual(name: str) -> str:
    """Return settings that are not the attack's defaults and not its length."""
    attack = _attack(name, "paper")
    held = {each.name: getattr(attack, each.name) for each in fields(attack) if each.name not in _LENGTH_AND_BOUND}
    return ", ".join(f"{name} {value:g}" for name, value in held.items() if value != getattr(type(attack)(), name))


def _attack(name: str, tier: str) -> Attack:
    return attack_menu.attack_from_name(name, epsilon=USUAL_EPSILON, seed=0, tier=tier)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    shown = (f"| {' | '.join(line)} |" for line in (head, *rows))
    return "\n".join((next(shown), f"|{'---|' * len(head)}", *shown))


if __name__ == "__main__":
    write_atomic(GUIDE, with_tables(GUIDE.read_text()).encode())
