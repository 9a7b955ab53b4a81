"""Which images the page shows, by a rule that it states and from the record's bits alone. Shapes: N images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Cell, RobustnessRecord, cells_of, unpacked
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.robustness.report.reading import clean_score, defended, is_same, lowest, main_epsilon, victims

NUM_SHOWN = 8
NUM_OF_THE_REST = 2
"""Of these, so many are of the other outcome."""
_ON_VICTIM = "white-box-victim"
_SHOWN_FIRST = ("end-to-end", _ON_VICTIM)
_INSTEAD = (
    "artifact-fake-quant",
    "artifact-transfer",
    "artifact-query",
    "query",
    "transfer",
    "bpda",
    "class-head",
    "stealthy",
)
"""Shown where neither of the first two was run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Some images of one cell."""

    cell: Cell
    system: str
    """Whose verdicts decide."""
    rows: tuple[tuple[int, str, bool], ...]
    """Which image, what became of it in a word, and whether that is good."""
    rule: str


def choose(record: RobustnessRecord, inputs: ReportInputs) -> tuple[Chosen, ...]:
    """Return the images of each main scenario whose frames there are: those broken end to end, those saved on f."""
    chosen = []
    for scenario in _SHOWN_FIRST:
        cell = _strongest(record, inputs, scenario)
        if cell is not None:
            chosen += [_saved(record, cell) if scenario == _ON_VICTIM else _broken(record, cell)]
    if not any(chosen):
        others = (_strongest(record, inputs, scenario) for scenario in _INSTEAD)
        chosen = [_broken(record, cell) for cell in others if cell is not None][:1]
    return tuple(each for each in chosen if each is not None)


def _strongest(record: RobustnessRecord, inputs: ReportInputs, scenario: str) -> Cell | None:
    """Return the attack under which the defence fares worst at the main epsilon, else at any."""
    size = len(inputs.images)
    held = [
        cell for cell in cells_of(record, (scenario,))
        if len(inputs.crafted.get((cell.scenario, cell.attack, cell.epsilon), ())) >= cell.n and cell.n <= size
    ]  # fmt: skip
    at_main = [cell for cell in held if is_same(cell.epsilon, main_epsilon(record))]
    for cells in (at_main, held):
        for system in defended(record):
            found = lowest(cells, system)
            if found is not None:
                return found[0]
    return None


def _broken(record: RobustnessRecord, cell: Cell) -> Chosen | None:
    """Choose images that the defence labels rightly clean and wrongly attacked, and some that held."""
    system = _judge(record, cell)
    if system is None:
        return None
    before_N, after_N = _right(record, cell, system)
    rows = _rows(before_N & ~after_N, "broken", before_N & after_N, "held", is_good=False)
    rule = (
        f"The first images that {system} labels rightly clean and wrongly under {cell.title}, then the first that "
        f"hold; {int((before_N & ~after_N).sum())} of {int(before_N.sum())} that were right clean are broken."
    )
    return Chosen(cell=cell, system=system, rows=rows, rule=rule)


def _saved(record: RobustnessRecord, cell: Cell) -> Chosen | None:
    """Choose images that fool the bare classifier and not the defence, and some that fool both."""
    system = _judge(record, cell)
    victim = next((name for name in victims(record) if _is_scored(record, cell, name)), None)
    if system is None or victim is None:
        return _broken(record, cell)
    right_N, fooled_N = _right(record, cell, victim)
    _, after_N = _right(record, cell, system)
    is_fooled_N = right_N & ~fooled_N
    rows = _rows(is_fooled_N & after_N, "saved", is_fooled_N & ~after_N, "not saved", is_good=True)
    rule = (
        f"The first images that {victim} labels rightly clean and wrongly under {cell.title}, and {system} rightly; "
        f"then the first that both mistake; {int((is_fooled_N & after_N).sum())} of {int(is_fooled_N.sum())} that fool "
        f"{victim} are saved."
    )
    return Chosen(cell=cell, system=system, rows=rows, rule=rule)


def _judge(record: RobustnessRecord, cell: Cell) -> str | None:
    return next((name for name in defended(record) if _is_scored(record, cell, name)), None)


def _is_scored(record: RobustnessRecord, cell: Cell, system: str) -> bool:
    return cell.score_of(system) is not None and clean_score(record, system) is not None


def _right(record: RobustnessRecord, cell: Cell, system: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images are right clean and which attacked, [N] both."""
    clean, attacked = clean_score(record, system), cell.score_of(system)
    assert clean is not None
    assert attacked is not None
    n = min(clean.n, attacked.n)
    return unpacked(clean)[:n], unpacked(attacked)[:n]


def _rows(
    first_N: NDArray[np.bool_], first: str, rest_N: NDArray[np.bool_], rest: str, *, is_good: bool
) -> tuple[tuple[int, str, bool], ...]:
    """Return up to eight: mostly of the first outcome, with some of the rest, and more where the other is short."""
    firsts, rests = np.flatnonzero(first_N), np.flatnonzero(rest_N)
    num_rests = min(len(rests), max(NUM_OF_THE_REST, NUM_SHOWN - len(firsts)))
    num_firsts = NUM_SHOWN - num_rests
    return (*((int(i), first, is_good) for i in firsts[:num_firsts]),
            *((int(i), rest, not is_good) for i in rests[:num_rests]))  # fmt: skip


def verdicts(record: RobustnessRecord, cell: Cell, index: int) -> Sequence[tuple[str, bool | None, bool]]:
    """Return for every system of the cell whether it is right about the image clean (None: not scored) and attacked."""
    held = []
    for score in cell.scores:
        clean = clean_score(record, score.system)
        before = bool(unpacked(clean)[index]) if clean is not None and index < clean.n else None
        if index < score.n:
            held.append((score.system, before, bool(unpacked(score)[index])))
    return held
