"""Every threat model in words, with a table of its attacks and one of what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from capgan_benchmarks.robustness.record import Cell, RobustnessRecord, Spread, ThreatWords, cells_of
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, absent, badge, folded, section, table, text
from capgan_benchmarks.robustness.report.reading import clean_cell, is_same, main_epsilon, scenarios_of


def threats(record: RobustnessRecord) -> str:
    """Return the section."""
    said = {threat.name: threat for threat in record.threats}
    body = "".join(_threat(record, name, said.get(name)) for name in scenarios_of(record))
    lead = (
        "Right verdicts on the same attacked frames, each with its 95 % Wilson interval. Frames are rounded to 8 bits "
        "before anyone labels them. f is the classifier, T the purifier, f' another classifier. Systems marked "
        f"{badge('target', 'target')} are what the threat model is about; the others, in grey, label the same frames "
        "for comparison. <em>Rounding</em> is the accuracy that rounding gave back, in points; L2 is the mean distance "
        "of the frames that fool the target, and beside it, of attacks that ask for a margin (CW's kappa), how many "
        "images fooled what was attacked by that; queries are the median an image."
    )
    return section("threats", "Threat models", lead, _clean(record) + (body or absent("Nothing was attacked.")))


def _clean(record: RobustnessRecord) -> str:
    cell = clean_cell(record)
    if cell is None:
        return absent("The record has no scores of clean images, so nothing says what an attack took away.")
    rows = [
        (text(score.system), f"<b>{words.percent(score.percent, score.n)}</b>"
         f"<small>{words.interval(score.interval_95, score.n)}</small>", f"{score.num_right} of {score.n}")
        for score in cell.scores
    ]  # fmt: skip
    return (
        '<article class="threat"><h3>Not attacked</h3><div class="card">'
        + table(("System", "Right", "Images"), rows)
        + "</div></article>"
    )


def _threat(record: RobustnessRecord, name: str, said: ThreatWords | None) -> str:
    cells = cells_of(record, (name,))
    told = (
        f'<p>{text(said.knows)}</p><p class="soft">Gradients or answers by <strong>{text(said.gradient_by)}'
        f"</strong>; scored is <strong>{text(said.scored)}</strong>.</p>"
        if said else '<p class="soft">The record has no words for this threat model.</p>'
    )  # fmt: skip
    return f'<article class="threat"><h3>{text(name)}</h3>{told}{_tables(record, name, cells)}</article>'


def _tables(record: RobustnessRecord, name: str, cells: Sequence[Cell]) -> str:
    if not cells:
        reasons = [each.why for each in record.not_tested if name in each.what]
        return absent(f"Not run{': ' + '; '.join(reasons) if reasons else '; the record does not say why'}.")
    epsilon = main_epsilon(record)
    main = [cell for cell in cells if cell.epsilon is None or is_same(cell.epsilon, epsilon)]
    others = [cell for cell in cells if cell not in main]
    shown = [_scores(record, main)] if main else []
    if others:
        title = f"{'Other' if main else 'All'} budgets: {words.plural(len(others), 'row')}"
        shown.append(folded(title, _scores(record, others), is_open=not main))
    shown.append(folded("What each attack cost, and its settings", _costs(cells)))
    return f'<div class="card">{"".join(shown)}</div>'


def _scores(record: RobustnessRecord, cells: Sequence[Cell]) -> str:
    systems = _systems(record, cells)
    targets = {target for cell in cells for target in cell.targets}
    heads = "".join(
        f'<th scope="col" class="system">{text(each)}{badge("target", "target") if each in targets else ""}</th>'
        for each in systems
    )
    groups = groupby(sorted(cells, key=lambda cell: _order(cells, cell)), key=lambda cell: cell.attack)
    body = "".join(_group(attack, list(held), systems) for attack, held in groups)
    return (
        '<div class="scroll"><table class="scores"><thead><tr><th scope="col">Attack</th><th scope="col">Budget</th>'
        f'<th scope="col" class="number">n</th>{heads}<th scope="col" class="number">Rounding, points</th>'
        '<th scope="col" class="number">Mean L2</th><th scope="col" class="number">Queries</th>'
        f'<th scope="col" class="number">Time</th></tr></thead>{body}</table></div>'
    )


def _systems(record: RobustnessRecord, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return those that any cell scores: the record's in its order, then any that it does not name."""
    scored = tuple(dict.fromkeys(score.system for cell in cells for score in cell.scores))
    known = tuple(system.name for system in record.systems if system.name in scored)
    return known + tuple(name for name in scored if name not in known)


def _order(cells: Sequence[Cell], cell: Cell) -> tuple[int, float]:
    """Return a place: attacks as the record has them, in each the smallest budget first and none last."""
    first = next(i for i, each in enumerate(cells) if each.attack == cell.attack)
    return first, float("inf") if cell.epsilon is None else cell.epsilon


def _group(attack: str, cells: Sequence[Cell], systems: Sequence[str]) -> str:
    name = f'<th scope="rowgroup" rowspan="{len(cells)}">{text(attack)}</th>'
    rows = []
    for i, cell in enumerate(cells):
        scores = "".join(_score(cell, system) for system in systems)
        rows.append(
            f'<tr>{"" if i else name}<td class="budget">{words.epsilon(cell.epsilon)}</td>'
            f'<td class="number">{cell.n}</td>{scores}<td class="number">{_rounding(cell)}</td>'
            f'<td class="number">{_l2(cell)}</td>'
            f'<td class="number">{cell.queries.median:,.0f}</td>'
            f'<td class="number">{words.seconds(cell.seconds)}</td></tr>'
        )
    return f"<tbody>{''.join(rows)}</tbody>"


def _score(cell: Cell, system: str) -> str:
    score = cell.score_of(system)
    if score is None:
        return '<td class="score none">not scored</td>'
    kind = "score" if system in cell.targets else "score other"
    other_n = f", n = {score.n}" if score.n != cell.n else ""
    return (
        f'<td class="{kind}" style="--v:{score.percent:.2f}%"><b>{words.percent(score.percent, score.n)}</b>'
        f"<small>{words.interval(score.interval_95, score.n)}{other_n}</small></td>"
    )


def _rounding(cell: Cell) -> str:
    rounding = cell.rounding
    if not rounding.n:
        return NONE
    points = 100 * (rounding.num_right_rounded - rounding.num_right_float) / rounding.n
    said = (
        f"by {rounding.judge}: {rounding.num_right_float} right before rounding, {rounding.num_right_rounded} after, "
        f"of {rounding.n}"
    )
    return f'<span title="{text(said)}">{points:+.1f}</span>'


def _l2(cell: Cell) -> str:
    confident = "" if cell.confidence is None else f"<small>{text(cell.confidence)}</small>"
    return (NONE if cell.mean_l2 is None else f"{cell.mean_l2:.3f}") + confident


def _costs(cells: Sequence[Cell]) -> str:
    rows = [
        (text(cell.attack), words.epsilon(cell.epsilon), _spread(cell.queries), _spread(cell.gradients),
         f"{cell.num_lost_queries:,}", _zeros(cell),
         _rounded(cell), f"{cell.seconds:.2f} s", f"<code>{text(_settings(cell.settings))}</code>")
        for cell in cells
    ]  # fmt: skip
    head = ("Attack", "Budget", "Queries: total, median, most", "Gradients: total, median, most", "Lost queries",
            "Gradient zero", "Right before and after rounding", "Time", "Settings")  # fmt: skip
    return table(head, rows, numbers=frozenset({4, 5, 7}))


def _zeros(cell: Cell) -> str:
    return NONE if cell.zero_gradient_percent is None else f"{cell.zero_gradient_percent:.1f} %"


def _spread(spread: Spread) -> str:
    return f"{spread.total:,}, {spread.median:,.0f}, {spread.max:,}"


def _rounded(cell: Cell) -> str:
    rounding = cell.rounding
    return f"{rounding.num_right_float} and {rounding.num_right_rounded} of {rounding.n} ({text(rounding.judge)})"


def _settings(settings: dict[str, Any]) -> str:
    """Say each; of a float six digits, since the record has all of them."""
    said = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in said.items()) or "none"
