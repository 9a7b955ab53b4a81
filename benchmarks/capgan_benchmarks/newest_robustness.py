"""The newest records of the robustness benchmark, their cells as rows of tables, and how a cell is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capgan_benchmarks.records import ROOT
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.record import CLEAN, Cell, Counted, Flips, RobustnessRecord, Score, read_record

RESULTS = ROOT / "benchmarks" / "results"
USUAL_EPSILON = 8 / 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell, and the record that it is from."""

    record: RobustnessRecord
    cell: Cell

    def cell_of(self, system: str) -> str:
        """Return accuracy with its interval, or a dash."""
        score = self.cell.score_of(system)
        return "-" if score is None else percent_text(score)


def newest_records() -> dict[str, list[RobustnessRecord]]:
    """Return the newest record of each theme, by subject; a file is robustness-SUBJECT-THEME_HARDWARE_DATE.json."""
    newest: dict[str, RobustnessRecord] = {}
    for path in sorted(RESULTS.glob("robustness-*.json")):
        record, theme = read_record(path), path.name.split("_")[0]
        if theme not in newest or newest[theme].date < record.date:
            newest[theme] = record
    found: dict[str, list[RobustnessRecord]] = {}
    for record in newest.values():
        found.setdefault(record.subject, []).append(record)
    return dict(sorted(found.items()))


def of_most_images(records: Sequence[RobustnessRecord]) -> list[Row]:
    """Return one row a threat model, attack and epsilon of at most 8/255, of the record with the most images.

    Of as many images the one that scores the most systems. Records of another runtime than a bundle's usual one, made
    for a figure of runtimes, are passed over.
    """
    found: dict[tuple[str, str, float | None], Row] = {}
    usual = [record for record in records if not _is_of_another_runtime(record)]
    for row in sorted(rows_of(usual), key=lambda row: (-row.cell.n, -len(row.cell.scores))):
        if row.cell.epsilon is None or row.cell.epsilon < USUAL_EPSILON + 1e-9:
            found.setdefault((row.cell.scenario, row.cell.attack, row.cell.epsilon), row)
    return list(found.values())


def _is_of_another_runtime(record: RobustnessRecord) -> bool:
    return any(system.kind == "artifact" and "openvino" in system.device.lower() for system in record.systems)


def rows_of(records: Sequence[RobustnessRecord]) -> Iterator[Row]:
    """Yield every cell, those of more images first."""
    for record in sorted(records, key=lambda each: -each.data.n):
        for cell in record.cells:
            yield Row(record=record, cell=cell)


def words_of(row: Row, *, is_size_said: bool = False) -> list[str]:
    """Return threat model and attack; where there is no column for it, with an epsilon that is not the usual one."""
    cell = row.cell
    if cell.scenario == CLEAN:
        return ["nobody attacks", "-"]
    is_other = cell.epsilon is not None and abs(cell.epsilon - USUAL_EPSILON) > 1e-9
    size = f" at {epsilon_text(cell.epsilon)}" if is_size_said and is_other else ""
    distance = "" if cell.distance is None else f", {cell.distance}"
    return [cell.scenario, cell.attack.replace("|", "\\|") + size + distance]


def percent_text(score: Score | Counted | Flips) -> str:
    """Return a share with its interval."""
    low, high = score.interval_95
    return f"{score.percent:.2f} % [{low:.2f}, {high:.2f}]"


def line(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"
