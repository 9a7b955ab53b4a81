"""The end of the page: self-checks, what was not tested, what the figures do not mean, and how to get them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from capgan_benchmarks.robustness.record import Check, RobustnessRecord
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, absent, definitions, section, table, text

DO_NOT_MEAN = (
    "A purifier that was trained on a fixed victim's FGSM images holds against attackers who do not know it, and falls "
    "to those who do: the paper's own end-to-end figure is 6.58 % (CIFAR-10, PGD-40), and had not converged. A good "
    "figure under transfer or on the classifier alone is no promise against an attacker who has the device.",
    "Every accuracy under attack is an upper bound. The attacks are those in the tables, at these budgets and steps; a "
    "stronger attacker can only lower it. The interval says what other images of the same data would give, not what "
    "another attack would.",
    "Robustness end to end needs training against end-to-end attacks: crafting on classifier and purifier together at "
    "each step, and updating the purifier alone. That is the training mode robust. The figure to beat is the "
    "paper's adversarially trained victim: 78.1 % clean and 45.22 % under end-to-end PGD-40.",
    "A budget in L-infinity is a convention, not a description of the world: stickers, prints, light, blur and "
    "weather are other perturbations, and nothing here says how the system fares under them.",
    "Suspicion is a score of the purifier's own domain classifier. Its figures hold for attackers who ignore it; "
    "only the stealthy rows are about one who does not.",
    "The figures are of these images. Other cameras, other classes and other places are other data.",
)
_BADGES = {"passed": "good", "failed": "bad", "not run": "idle"}
_MARKS = {"passed": "✓", "failed": "✗", "not run": NONE}


def checks(record: RobustnessRecord) -> str:
    """Return the section on the self-checks, failures first."""
    lead = (
        "A defence can look robust because the attacks are weak, or because its gradients lead nowhere. These checks "
        "look for the signs of it; one that fails makes the figures above too good."
    )
    if not record.checks:
        return section("checks", "Self-checks", lead, absent("No self-check is in this record."))
    order = ("failed", "passed", "not run")
    cards = "".join(_check(each) for each in sorted(record.checks, key=lambda check: order.index(check.state)))
    return section("checks", "Self-checks", lead, f'<div class="checks">{cards}</div>')


def _check(check: Check) -> str:
    kind = _BADGES[check.state]
    return (
        f'<div class="card check {kind}"><h3><span>{text(check.name)}</span><span class="badge {kind}">'
        f"{_MARKS[check.state]} {check.state}</span></h3>"
        + definitions((("Expected", check.expected), ("Came" if check.state != "not run" else "Why not", check.came)))
        + "</div>"
    )


def not_tested(record: RobustnessRecord) -> str:
    """Return the section on what the record says nothing about."""
    lead = "This record says nothing about:"
    if not record.not_tested:
        return section(
            "not-tested", "What was not tested", lead, absent("The record names nothing, which no record should.")
        )
    body = f'<div class="card limits">{definitions((each.what, each.why) for each in record.not_tested)}</div>'
    return section("not-tested", "What was not tested", lead, body)


def meaning() -> str:
    """Return the section on what the figures do not mean."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in DO_NOT_MEAN)
    body = f'<div class="card limits"><ul>{items}</ul></div>'
    return section("meaning", "What these figures do not mean", "Read this before quoting any of them.", body)


def reproduce(record: RobustnessRecord) -> str:
    """Return the section on how to get the figures again."""
    data = record.data
    rows = [
        (text(system.name), text(system.kind), text(system.precision), text(system.device),
         f"<code>{text(system.sha256)}</code>")
        for system in record.systems
    ]  # fmt: skip
    systems = (
        table(("System", "Kind", "Precision", "Device", "SHA-256"), rows) if rows else absent("No system is named.")
    )
    facts = (
        ("Code", record.code),
        (
            "Seed and batch",
            f"{record.seed}; {words.plural(record.batch, 'image')} at once, on which random starts depend",
        ),
        ("Data", f"{data.name}: n = {data.n} of {data.num_available}, drawn with seed {data.seed}"),
        ("Data, SHA-256", data.sha256),
        ("Took", f"{words.seconds(record.seconds)}, without what was cached"),
        ("Written", record.date),
        ("Schema", record.schema_version),
        *_flat(record.environment),
    )
    lead = "The same command on the same code, data and device gives the same figures; every one is in the JSON record."
    body = (
        f"<pre><code>{text(_command(record))}</code></pre>"
        f'<div class="card">{systems}</div><br><div class="card">{definitions(facts)}</div>'
    )
    return section("reproduce", "How to get these figures again", lead, body)


def _command(record: RobustnessRecord) -> str:
    """Return what to type; the arguments may begin with the command's own last words."""
    words_of, arguments = record.command.split(), list(record.arguments)
    shared = next((k for k in range(len(words_of), 0, -1) if words_of[-k:] == arguments[:k]), 0)
    return shlex.join([*words_of, *arguments[shared:]])


def _flat(environment: dict[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """Return every entry, of nested ones with the names on the way to them."""
    for name, value in environment.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}", value
