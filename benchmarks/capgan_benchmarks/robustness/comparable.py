"""Whether two records may be compared: of the same images, options, attacks and systems, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.record import CLEAN, Cell, DataIdentity, Detection, RobustnessRecord, Score
from capgan_benchmarks.robustness.same_frames import is_judged_elsewhere
from capgan_edge.errors import ConfigError, DataError

_DATA = ("name", "n", "seed", "sha256")
_REMEDY = "make a new baseline with the options of this run, or run with the baseline's"
_NOT_SET, _TARGETS = "not set", "targets"
Place = tuple[str, str, float | None]
"""Scenario, attack and epsilon; two cells of one place differ in their settings or in whom they are aimed at."""


def require_same_options(baseline: RobustnessRecord, *, data: DataIdentity, tier: str, seed: int, batch: int) -> None:
    """Refuse a run of other images or options than the baseline's; known before the first attack.

    Raises:
        ConfigError: one differs.
    """
    told = [(f"data {each}", getattr(baseline.data, each), getattr(data, each)) for each in _DATA]
    told += [("tier", baseline.tier, tier), ("seed", baseline.seed, seed), ("batch", baseline.batch, batch)]
    for what, before, now in told:
        if before != now:
            raise ConfigError(f"expected {what} {before} as in the baseline, got {now}; {_REMEDY}")


def require_same_systems(baseline: RobustnessRecord, names: Sequence[str]) -> None:
    """Refuse a run that scores other systems than the baseline; known before the first attack.

    Raises:
        ConfigError: one is missing, or is new.
        DataError: one is there twice.
    """
    _refuse_difference("system", [system.name for system in baseline.systems], names)


def paired_cells(baseline: RobustnessRecord, record: RobustnessRecord) -> Iterator[tuple[Cell, Cell]]:
    """Yield the cells of the same attack and settings, in the baseline's order.

    Raises:
        ConfigError: the records are not of the same images, options, systems or attacks, or not of as many images.
        DataError: a record has a cell or a system twice.
    """
    require_same_options(baseline, data=record.data, tier=record.tier, seed=record.seed, batch=record.batch)
    require_same_systems(baseline, [system.name for system in record.systems])
    before, now = (_by_key(held.cells) for held in (baseline, record))
    for key, cell in before.items():
        if key not in now:
            _refuse_other_settings(cell, [each for other, each in now.items() if other not in before])
    every = [*baseline.cells, *record.cells]
    _refuse_difference("attack", *([_title(cell, every) for cell in held.cells] for held in (baseline, record)))
    for key, cell in before.items():
        if cell.n != now[key].n:
            raise ConfigError(f"{_title(cell)}: expected n {cell.n} as in the baseline, got {now[key].n}; {_REMEDY}")
        yield cell, now[key]


def paired_scores(before: Cell, now: Cell) -> Iterator[tuple[Score, Score]]:
    """Yield the scores of the same system on two cells of as many images.

    Raises:
        ConfigError: not the same systems were scored.
        DataError: a score is of other images than its cell, or is there twice.
    """
    _refuse_difference(
        f"system on {_title(before)}", *([score.system for score in cell.scores] for cell in (before, now))
    )
    for score in before.scores:
        other = now.score_of(score.system)
        assert other is not None
        for each in (score, other):
            if each.n != before.n:
                raise DataError(f"{_title(before)}: expected n {before.n} in the score of {each.system}, got {each.n}; "
                                "the record was edited: make it again")  # fmt: skip
        yield score, other


def paired_detections(before: Cell, now: Cell) -> Iterator[tuple[Detection, Detection]]:
    """Yield what suspicion was worth to the same system on two cells.

    Raises:
        ConfigError: suspicion was not measured on the same systems: one that lost its suspicion would go unseen.
        DataError: one is there twice.
    """
    then, after = ({each.system: each for each in cell.detections} for cell in (before, now))
    _refuse_difference(
        f"suspicion on {_title(before)}", *([each.system for each in cell.detections] for cell in (before, now))
    )
    yield from ((each, after[name]) for name, each in then.items())


def is_compared(system: str, before: Cell, now: Cell, baseline: RobustnessRecord, record: RobustnessRecord) -> bool:
    """Return whether a system is held by a cell: a bare victim where it is aimed at, the same frames once.

    Raises:
        DataError: the record does not know the system.
    """
    kind = next((each.kind for each in record.systems if each.name == system), None)
    if kind is None:
        raise DataError(f"expected {system}, which is scored, among the record's systems; make the record again")
    if kind == "victim":
        return now.scenario == CLEAN or system in now.targets
    return not all(
        is_judged_elsewhere(cell, system, kind, held.cells) for cell, held in ((before, baseline), (now, record))
    )


def variant_of(cell: Cell, cells: Sequence[Cell]) -> str:
    """Return what tells a cell from the others of its place, as in `restarts 5`; empty where it is alone."""
    others = [each for each in cells if _place(each) == _place(cell)]
    names = sorted({name for other in others for name in _differing(cell, other)})
    return ", ".join(
        f"against {', '.join(cell.targets)}" if name == _TARGETS else f"{name} {_setting(cell, name)}" for name in names
    )


def _refuse_difference(what: str, before: Sequence[str], now: Sequence[str]) -> None:
    """Raise where the names are not the same, in any order, or one is there twice."""
    for names, whose in ((before, "the baseline"), (now, "this run")):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"expected each {what} once in {whose}, got {twice} twice; make its record again")
    for name in before:
        if name not in now:
            raise ConfigError(f"expected the {what} {name} of the baseline in this run, which lacks it; {_REMEDY}")
    for name in now:
        if name not in before:
            raise ConfigError(f"expected every {what} of this run in the baseline, which lacks {name}; {_REMEDY}")


def _refuse_other_settings(cell: Cell, candidates: Sequence[Cell]) -> None:
    """Raise where a cell of the baseline is there now with other settings."""
    for other in candidates:
        if _place(other) == _place(cell):
            name = _differing(cell, other)[0]
            raise ConfigError(f"{_title(cell)}: expected {name} {_setting(cell, name)} as in the baseline, got "
                              f"{_setting(other, name)}; {_REMEDY}")  # fmt: skip


def _title(cell: Cell, cells: Sequence[Cell] = ()) -> str:
    """Name a cell; among others, by what tells it from them too."""
    bound = "" if cell.epsilon is None else f", epsilon {epsilon_text(cell.epsilon)}"
    variant = variant_of(cell, cells)
    return f"{cell.title}{bound}{f', {variant}' if variant else ''}"


def _by_key(cells: Sequence[Cell]) -> dict[tuple[Place, str], Cell]:
    return {(_place(cell), _as_json(cell)): cell for cell in cells}


def _place(cell: Cell) -> Place:
    return cell.scenario, cell.attack, cell.epsilon


def _as_json(cell: Cell) -> str:
    return json.dumps(_settings(cell), sort_keys=True)


def _differing(cell: Cell, other: Cell) -> list[str]:
    names = sorted({*_settings(cell), *_settings(other)})
    return [name for name in names if _setting(cell, name) != _setting(other, name)]


def _setting(cell: Cell, name: str) -> str:
    settings = _settings(cell)
    return json.dumps(settings[name], sort_keys=True) if name in settings else _NOT_SET


def _settings(cell: Cell) -> dict[str, Any]:
    """As a record on disk has them, so that a tuple in memory is the list that it is read as; with the targets, since
    an attack on an artifact is made once for each."""
    held: dict[str, Any] = cell.model_dump(mode="json", include={"settings", _TARGETS})
    return {**held["settings"], _TARGETS: held[_TARGETS]}
