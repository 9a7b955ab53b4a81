"""Worst accuracy over several attacks, labels that flip between precisions, and the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from capgan_benchmarks.robustness.record import Alarm, Cell, Counted, Detection, Flips, RobustnessRecord, Worst
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, absent, badge, folded, section, table, text
from capgan_benchmarks.robustness.report.reading import is_same, main_epsilon

_SIGNIFICANT = 0.05
_STEALTHY = "stealthy"
T = TypeVar("T")


def worst(record: RobustnessRecord) -> str:
    """Return the section on what survives every attack."""
    lead = (
        "An image counts as right only if it is right under every attack of the budget or a smaller one, so that no "
        "attack's weakness hides another's, and right clean: leaving it alone is within every budget. Attacks without "
        "a bound are in none of "
        "these figures."
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
    return table(("System", "Budget", "Right clean and under all", "Images", "Attacks", "Threat models"), rows)


def _scope(worst: Worst) -> str:
    num = len(worst.scenarios)
    return text(worst.scenarios[0]) if num == 1 else words.plural(num, "threat model")


def _parted(held: Sequence[T], epsilons: Sequence[float | None], main: float | None) -> tuple[list[T], list[T]]:
    """Part what is at the main epsilon, or has none, from the rest."""
    is_main = [each is None or is_same(each, main) for each in epsilons]
    pairs = list(zip(held, is_main, strict=True))
    return [each for each, is_first in pairs if is_first], [each for each, is_first in pairs if not is_first]


def _card(
    main: Sequence[T], others: Sequence[T], draw: Callable[[Sequence[T]], str], *, noun: str = "row",
    quiet: Sequence[T] = (), why_quiet: str = "",
) -> str:  # fmt: skip
    """Return the main rows, and to unfold the quiet ones, of which `why_quiet` says what they are, and the others."""
    shown = draw(main) if main else ""
    if quiet:
        shown += folded(f"{why_quiet}: {words.plural(len(quiet), noun)}", draw(quiet), is_open=not main)
    if others:
        is_first = not main and not quiet
        shown += folded(f"Other budgets: {words.plural(len(others), noun)}", draw(others), is_open=is_first)
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
    loud = [each for each in main if each.num_flipped]
    quiet = [each for each in main if not each.num_flipped]
    body = _card(loud, others, _flips, quiet=quiet, why_quiet="No label flips")
    return section("flips", "Flips between precisions", lead, body)


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
        "What gets past the graph's <em>suspicion</em>: <em>fools and is not noticed</em> counts, of all attacked "
        "frames, those that the system labels wrongly without an alarm, at thresholds that at most 1 % and 5 % of the "
        "clean frames exceed. Beside it the share of what fools that was found, and of all attacked frames, also of "
        "those that fool nobody; and the area under the ROC curve over all of them (0.5 is chance). Intervals are "
        "Wilson's, 95 %, of the attacked frames at the threshold that these clean frames gave. An attacker who knows "
        f"of the detector can aim at it too: that is <em>{_STEALTHY}</em>, the rows that count."
    )
    if not held:
        return section(
            "detector", "Detector", lead, absent("Suspicion was not scored: no system of the record gives it.")
        )
    held.sort(key=lambda cell: cell.scenario != _STEALTHY)
    main, others = _parted(held, [None if cell.scenario == _STEALTHY else cell.epsilon for cell in held],
                           main_epsilon(record))  # fmt: skip
    aimed = [cell for cell in main if cell.scenario == _STEALTHY]
    blind = [cell for cell in main if cell.scenario != _STEALTHY]
    shown = _card(aimed, others, _detections, noun="attack", quiet=blind, why_quiet="Not aimed at the detector")
    if all(cell.scenario != _STEALTHY for cell in held):
        shown = (
            '<div class="banner note"><strong>The detector itself was not attacked.</strong> A detector that is not '
            f"attacked is not measured: no {_STEALTHY} row is in this record.</div><br>" + shown
        )
    return section("detector", "Detector", lead, shown)


def _detections(cells: Sequence[Cell]) -> str:
    """Return a row for each system of each attack, what fools unnoticed first."""
    head = ("Attack", "Budget", "System", "Fools and is not noticed, at 1 %", "at 5 %", "Found of what fools",
            "Found of all attacked", "ROC-AUC")  # fmt: skip
    return table(head, [_detection(cell, found) for cell in cells for found in cell.detections])


def _detection(cell: Cell, found: Detection) -> tuple[str, ...]:
    alarms: tuple[Alarm, ...] = (found.at_1, found.at_5)
    name = f"{text(cell.attack)}<small>{text(cell.scenario)}</small>"
    return (
        f'<span class="marked">{name}</span>' if cell.scenario == _STEALTHY else name,
        words.epsilon(cell.epsilon),
        f"{text(found.system)}<small>{found.num_fooling:,} of {found.num_attacked:,} fool</small>",
        *(f"{_share(each.unnoticed.percent, each.unnoticed.interval_95, each.unnoticed.n)}"
          f"<small>{_of(each.unnoticed.num, each.unnoticed.n)}</small>" for each in alarms),
        _at_both([each.detected_of_fooling for each in alarms]),
        _at_both([each.detected for each in alarms]),
        f'<span class="bar" style="--v:{100 * found.roc_auc:.2f}%">{found.roc_auc:.3f}</span>'
        f"<small>{found.num_clean:,} clean, {found.num_attacked:,} attacked</small>",
    )  # fmt: skip


def _at_both(shares: Sequence[Counted | None]) -> str:
    """Return shares at 1 % and at 5 % false alarms, each with its interval below."""
    return "".join(
        f"<small>{words.percent(share.percent, share.n)} at {rate} %</small>"
        f"<small>{words.interval(share.interval_95, share.n)}</small>"
        for share, rate in zip(shares, (1, 5), strict=True) if share is not None
    ) or NONE  # fmt: skip
