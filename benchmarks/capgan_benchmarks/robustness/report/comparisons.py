"""Worst accuracy over several attacks, labels that flip between precisions, and the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from capgan_benchmarks.robustness.record import Cell, Flips, RobustnessRecord, Worst
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, absent, badge, folded, section, table, text
from capgan_benchmarks.robustness.report.reading import is_same, main_epsilon

_SIGNIFICANT = 0.05
_STEALTHY = "stealthy"
T = TypeVar("T")


def worst(record: RobustnessRecord) -> str:
    """Return the section on what survives every attack."""
    lead = (
        "An image counts as right only if it survives every attack, so that no attack's weakness hides another's. "
        "Attacks without a bound are in none of these figures."
    )
    if not record.worst:
        body = absent("The record has no accuracy over several attacks.")
        return section("worst", "Worst accuracy", lead, body)
    main, others = _parted(record.worst, [each.epsilon for each in record.worst], main_epsilon(record))
    return section("worst", "Worst accuracy", lead, _card(main, others, _worst))


def _worst(held: Sequence[Worst]) -> str:
    rows = [
        (f"{text(each.system)}<small>{_scope(each)}</small>", words.epsilon(each.epsilon),
         _share(each.percent, each.interval_95, each.n),
         _of(each.num_right, each.n), text(words.listed(each.attacks)), text(words.listed(each.scenarios)))
        for each in sorted(held, key=lambda worst: -len(worst.scenarios))  # what holds against everything first
    ]  # fmt: skip
    return table(("System", "Budget", "Right under all", "Images", "Attacks", "Threat models"), rows)


def _scope(worst: Worst) -> str:
    num = len(worst.scenarios)
    return text(worst.scenarios[0]) if num == 1 else words.plural(num, "threat model")


def _parted(held: Sequence[T], epsilons: Sequence[float | None], main: float | None) -> tuple[list[T], list[T]]:
    """Part what is at the main epsilon, or has none, from the rest."""
    is_main = [each is None or is_same(each, main) for each in epsilons]
    pairs = list(zip(held, is_main, strict=True))
    return [each for each, is_first in pairs if is_first], [each for each, is_first in pairs if not is_first]


def _card(main: Sequence[T], others: Sequence[T], draw: Callable[[Sequence[T]], str]) -> str:
    """Return the main rows, and the others to unfold."""
    shown = draw(main) if main else ""
    if others:
        shown += folded(f"Other budgets: {words.plural(len(others), 'row')}", draw(others), is_open=not main)
    return f'<div class="card">{shown}</div>'


def _share(percent: float, ends: tuple[float, float], n: int) -> str:
    return f"<b>{words.percent(percent, n)}</b><small>{words.interval(ends, n)}</small>"


def _of(num: int, n: int) -> str:
    return f'<span class="whole">{num:,} of {n:,}</span>'


def flips(record: RobustnessRecord) -> str:
    """Return the section on pairs of systems."""
    num = len(record.flips)
    lead = (
        "How often two systems label the same frames differently, and McNemar's exact test that neither is right more "
        f"often. Of {words.plural(num, 'comparison')} at 5 % about {max(1, round(_SIGNIFICANT * num))} would be "
        "marked by chance alone."
        if num else "How often two systems label the same frames differently."
    )  # fmt: skip
    if not num:
        body = absent("No two systems were compared: it takes a reference and another precision of the same bundle.")
        return section("flips", "Flips between precisions", lead, body)
    main, others = _parted(record.flips, [each.epsilon for each in record.flips], main_epsilon(record))
    return section("flips", "Flips between precisions", lead, _card(main, others, _flips))


def _flips(held: Sequence[Flips]) -> str:
    head = ("Attack", "Budget", "Systems", "Labels flipped", "Images", "Only the reference right",
            "Only the other right", "McNemar's p")  # fmt: skip
    return table(head, [_flip(each) for each in held], numbers=frozenset({5, 6}))


def _flip(flip: Flips) -> tuple[str, ...]:
    is_marked = flip.p_value < _SIGNIFICANT
    return (
        f"{text(flip.attack)}<small>{text(flip.scenario)}</small>",
        words.epsilon(flip.epsilon),
        f'<span class="pair">{text(flip.other)}<small>against {text(flip.reference)}</small></span>',
        _share(flip.percent, flip.interval_95, flip.n),
        _of(flip.num_flipped, flip.n),
        str(flip.num_only_reference_right),
        str(flip.num_only_other_right),
        words.p_value(flip.p_value) + (badge("bad", "differs") if is_marked else ""),
    )


def detector(record: RobustnessRecord) -> str:
    """Return the section on suspicion, the attack that knows of it first."""
    held = [cell for cell in record.cells if cell.detections]
    lead = (
        "How well the graph's <em>suspicion</em> tells attacked frames from clean ones: the area under the ROC curve "
        "(large; 0.5 is chance), and the attacked frames caught at thresholds that 1 % and 5 % of the clean frames "
        "exceed. "
        f"An attacker who knows of the detector can aim at it too: that is <em>{_STEALTHY}</em>, the row that counts."
    )
    if not held:
        return section(
            "detector", "Detector", lead, absent("Suspicion was not scored: no system of the record gives it.")
        )
    held.sort(key=lambda cell: cell.scenario != _STEALTHY)
    main, others = _parted(held, [None if cell.scenario == _STEALTHY else cell.epsilon for cell in held],
                           main_epsilon(record))  # fmt: skip
    shown = _card(main, others, _detections)
    if all(cell.scenario != _STEALTHY for cell in held):
        shown = (
            '<div class="banner note"><strong>The detector itself was not attacked.</strong> A detector that is not '
            f"attacked is not measured: no {_STEALTHY} row is in this record.</div><br>" + shown
        )
    return section("detector", "Detector", lead, shown)


def _detections(cells: Sequence[Cell]) -> str:
    systems = tuple(dict.fromkeys(found.system for cell in cells for found in cell.detections))
    rows = []
    for cell in cells:
        name = f"{text(cell.attack)}<small>{text(cell.scenario)}</small>"
        rows.append((
            f'<span class="marked">{name}</span>' if cell.scenario == _STEALTHY else name,
            words.epsilon(cell.epsilon), *(_detection(cell, system) for system in systems),
        ))  # fmt: skip
    return table(("Attack", "Budget", *(text(system) for system in systems)), rows)


def _detection(cell: Cell, system: str) -> str:
    found = next((each for each in cell.detections if each.system == system), None)
    if found is None:
        return NONE
    n = found.num_attacked
    return (
        f'<span class="bar" style="--v:{100 * found.roc_auc:.2f}%">{found.roc_auc:.3f}</span>'
        f"<small>{words.percent(found.detected_percent_at_1, n)} at 1 %</small>"
        f"<small>{words.percent(found.detected_percent_at_5, n)} at 5 %</small>"
        f"<small>{found.num_clean:,} clean, {n:,} attacked</small>"
    )
