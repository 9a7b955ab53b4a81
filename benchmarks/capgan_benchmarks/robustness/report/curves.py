"""Accuracy over epsilon, a panel a threat model and one an attack (Figure 5 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from capgan_benchmarks.robustness.record import REPLAYED, Cell, RobustnessRecord, cells_of, unpacked
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, absent, folded, section, table, text
from capgan_benchmarks.robustness.report.plots import Line, Point, mark, panel
from capgan_benchmarks.robustness.report.reading import (
    Share,
    attacks_of,
    clean_score,
    fooled,
    is_same,
    lowest,
    scenarios_of,
    share_of,
    survivors,
    victims,
)

Panel = tuple[str, tuple[Line, ...]]
"""A title and what is drawn."""


def curves(record: RobustnessRecord) -> str:
    """Return the section."""
    body = "".join(_scenario(record, name) for name in scenarios_of(record) if name != REPLAYED)
    lead = (
        "Budget 0 is the clean accuracy of the same images; <em>every attack so far</em> counts those of smaller "
        "budgets, too; bands are 95 % intervals. A target's curve that does not "
        "fall towards 0 as the budget grows is a warning, not a virtue. The dotted line is how often the attack fools "
        "the bare classifier, of the images that it labels rightly clean."
    )
    if not body:
        body = absent("No attack was run at any budget with a bound, so there is no curve to draw.")
    return section("curves", "Accuracy over the budget", lead, _key(record) + body)


def _key(record: RobustnessRecord) -> str:
    named = [f"<span>{mark(i)}{text(system.name)}</span>" for i, system in enumerate(record.systems)]
    if victims(record):
        named.append(f"<span>{mark(None)}attack succeeds on the bare classifier</span>")
    return f'<div class="key">{"".join(named)}</div>'


def _scenario(record: RobustnessRecord, name: str) -> str:
    cells = [cell for cell in cells_of(record, (name,)) if cell.epsilon is not None]
    if not cells:
        return ""
    panels = _panels(record, cells)
    drawn = "".join(
        f'<figure class="card"><figcaption>{text(title)}</figcaption>'
        f"{panel(lines, title=_read_aloud(name, title, lines))}</figure>"
        for title, lines in panels
    )
    figures = folded("These curves as a table", _as_table(panels))
    return f'<article class="threat"><h3>{text(name)}</h3><div class="panels">{drawn}</div>{figures}</article>'


def _panels(record: RobustnessRecord, cells: Sequence[Cell]) -> list[Panel]:
    attacks = attacks_of(cells)
    each = [(attack, _lines(record, [cell for cell in cells if cell.attack == attack], _right)) for attack in attacks]
    together = [("Right clean and under every attack so far",
                 _lines(record, cells, partial(_right_under_all, record), is_cumulative=True))]  # fmt: skip
    return together + each if len(attacks) > 1 else each


def _lines(
    record: RobustnessRecord, cells: Sequence[Cell], count: Callable[[str, Sequence[Cell]], Share | None],
    *, is_cumulative: bool = False,
) -> tuple[Line, ...]:  # fmt: skip
    lines = []
    for style, system in enumerate(record.systems):
        points = _points(cells, partial(count, system.name), is_cumulative=is_cumulative)
        if points:
            lines.append(Line(name=system.name, style=style, points=_clean(record, cells, system.name) + points))
    for victim in victims(record)[:1]:
        points = _points(cells, partial(fooled, record, system=victim), is_cumulative=is_cumulative)
        if points:
            lines.append(Line(name=f"success on {victim}", style=None, points=points))
    return tuple(lines)


def _points(
    cells: Sequence[Cell], count: Callable[[Sequence[Cell]], Share | None], *, is_cumulative: bool
) -> tuple[Point, ...]:
    """Return a point a budget, of all attacks at it; cumulative: of all that keep to it, those of smaller ones too."""
    points = []
    for epsilon in _budgets(cells):
        share = count([cell for cell in cells if is_same(cell.epsilon, epsilon)
                       or (is_cumulative and cell.epsilon is not None and cell.epsilon < epsilon)])  # fmt: skip
        if share is not None:
            points.append(_point(epsilon, share))
    return tuple(points)


def _budgets(cells: Sequence[Cell]) -> list[float]:
    budgets: list[float] = []
    for epsilon in sorted(cell.epsilon for cell in cells if cell.epsilon is not None):
        if not budgets or not is_same(budgets[-1], epsilon):
            budgets.append(epsilon)
    return budgets


def _point(epsilon: float, share: Share) -> Point:
    return Point(x=round(words.LEVELS * epsilon, 4), value=share.percent, interval=share.interval_95)


def _right(system: str, cells: Sequence[Cell]) -> Share | None:
    """Return the accuracy under one attack: of several cells of it the lowest."""
    found = lowest(cells, system)
    return None if found is None else Share(num=found[1].num_right, n=found[1].n)


def _right_under_all(record: RobustnessRecord, system: str, cells: Sequence[Cell]) -> Share | None:
    surviving_N = survivors(record, cells, system)
    return None if surviving_N is None else share_of(surviving_N)


def _clean(record: RobustnessRecord, cells: Sequence[Cell], system: str) -> tuple[Point, ...]:
    """Return the point at budget 0, of the images that the attacks were run on."""
    clean = clean_score(record, system)
    if clean is None or any(is_same(cell.epsilon, 0.0) for cell in cells):
        return ()
    return (_point(0.0, share_of(unpacked(clean)[: min(cell.n for cell in cells)])),)


def _read_aloud(name: str, title: str, lines: Sequence[Line]) -> str:
    said = "; ".join(
        f"{line.name}: " + ", ".join(f"{point.value:.1f} % at {point.x:g}/255" for point in line.points)
        for line in lines
    )
    return f"{name}, {title}. {said}"


def _as_table(panels: Sequence[Panel]) -> str:
    budgets = sorted({point.x for _, lines in panels for line in lines for point in line.points})
    rows = []
    for title, lines in panels:
        for line in lines:
            held = {point.x: point for point in line.points}
            rows.append((f"{text(title)}<small>{text(line.name)}</small>", *(_cell(held.get(x)) for x in budgets)))
    return table(("Attack, system", *(f"{x:g}/255" for x in budgets)), rows)


def _cell(point: Point | None) -> str:
    if point is None:
        return NONE
    return f"{point.value:.1f} %<small>{point.interval[0]:.1f} to {point.interval[1]:.1f}</small>"
