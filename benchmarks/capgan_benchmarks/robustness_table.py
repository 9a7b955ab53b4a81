"""Tables of what the packaged pairs hold, from the newest records of the robustness benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capgan_benchmarks import paper_figures
from capgan_benchmarks.other_victim_table import other_victim_section
from capgan_benchmarks.records import ROOT
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.record import CLEAN, Cell, RobustnessRecord, Score, read_record
from capgan_benchmarks.robustness.systems import PAIR, VICTIM

RESULTS = ROOT / "benchmarks" / "results"
_EPSILON = 8 / 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell, and the record that it is from."""

    record: RobustnessRecord
    cell: Cell

    def cell_of(self, system: str) -> str:
        """Return accuracy with its interval, or a dash."""
        score = self.cell.score_of(system)
        return "-" if score is None else _percent(score)


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


def readme_table() -> str:
    """Return of each pair and threat model what leaves the purified pair least at 8/255, what leaves it less yet at a
    smaller epsilon, and AutoAttack.
    """
    lines = ["| pair | threat model | attack | bare classifier | purified (torch) | FP32 | FP16 | INT8 | n |",
             f"|{'---|' * 9}"]  # fmt: skip
    for subject, records in newest_records().items():
        rows = _of_most_images(records)
        chosen = [row for row in rows if row.cell.scenario == CLEAN][:1]
        for scenario in dict.fromkeys(row.cell.scenario for row in rows if row.cell.scenario != CLEAN):
            chosen += _strongest([row for row in rows if row.cell.scenario == scenario])
        lines += [_line([subject, *_words(row, is_size_said=True), *_scores(row, records)]) for row in chosen]
    return "\n".join(lines)


def _of_most_images(records: Sequence[RobustnessRecord]) -> list[Row]:
    """Return one row a threat model, attack and epsilon of at most 8/255, of the record with the most images."""
    found: dict[tuple[str, str, float | None], Row] = {}
    for row in _rows(records):
        if row.cell.epsilon is None or row.cell.epsilon < _EPSILON + 1e-9:
            found.setdefault((row.cell.scenario, row.cell.attack, row.cell.epsilon), row)
    return list(found.values())


def _strongest(rows: Sequence[Row]) -> list[Row]:
    """Return AutoAttack, the strongest at 8/255 or without an epsilon, and a stronger one of a smaller epsilon."""
    usual = [row for row in rows if row.cell.epsilon is None or abs(row.cell.epsilon - _EPSILON) < 1e-9]
    smaller = [row for row in rows if row not in usual]
    least = min(usual, key=lambda row: _least(row.cell), default=None)
    chosen = [row for row in usual if row.cell.attack.startswith("AutoAttack") and row is not least]
    chosen += _least_on_each_file(usual)
    below = min(smaller, key=lambda row: _least(row.cell), default=None)
    if below is not None and (least is None or _least(below.cell) < _least(least.cell)):
        chosen.append(below)
    return chosen


def _least_on_each_file(rows: Sequence[Row]) -> list[Row]:
    """Return the strongest attack; of attacks on a file of its own (`model.int8.onnx: ...`), the strongest on each."""
    by_file: dict[str, Row] = {}
    for row in rows:
        file, separator, _ = row.cell.attack.partition(": ")
        file = file if separator else ""
        if file not in by_file or _least(row.cell) < _least(by_file[file].cell):
            by_file[file] = row
    return list(by_file.values())


def results_page() -> str:
    """Return docs/results.md: every cell of the newest records, the paper's figures beside those of its attacks."""
    parts = [
        "# What was measured",
        "Written by `python -m capgan_benchmarks.readme` from the newest records of `capgan-edge benchmark "
        "robustness` in `benchmarks/results/`, not by hand. In brackets the 95 % Wilson interval. *n* is the number of "
        "test images; the threat models are explained in [robustness.md](robustness.md).",
    ]
    for subject, records in newest_records().items():
        parts.append(f"## {subject}")
        for record in records:
            parts += [_origin(record), _table(record), _worst(record), _checks(record), _untested(record)]
    parts += [other_victim_section(), "## Beside the paper", _PAPER, _paper_table()]
    return "\n\n".join(part for part in parts if part) + "\n"


_PAPER = """\
Ours is `cifar10-nano`. *Differs* says whether the paper's figure lies outside our interval; the paper prints neither
n nor intervals, so that its own uncertainty is not counted. What is known to differ: the paper's purifier has 12
times its classifier's operations, ours less than its classifier's; it was trained for 200 epochs of the whole loss,
ours for four, of which one is of the whole loss; it was trained on perturbations of 8/255 alone, ours on all sizes up
to that, which costs some of what it undoes at 8/255 (the paper shows nothing of smaller sizes under PGD); our CIFAR-10
is re-encoded as JPEG, and our classifier is right less often to begin with, which is an upper bound to everything
behind it. End to end the paper's figures fall with every step that the attack is given and had not converged (6.58
% at 40 steps): the gradient of our small purifier, BatchNorm and no reflection, is easier to follow, and the same
attack is at the bottom sooner. Square is compared at 5000 queries, and the paper does not say how many it had; a
thousand to the file leave hardly more, so that the number of queries alone does not explain the difference. What
explains that, SPSA's and the bare classifier's under FGSM is not known."""


def _paper_table() -> str:
    lines = [_line(["system", "threat model", "attack", "ours", "n", "paper", "differs"]), f"|{'---|' * 7}"]
    rows = list(_rows(newest_records().get("cifar10-nano", [])))
    for system, figures in ((PAIR, paper_figures.CAP_GAN), (VICTIM, paper_figures.BARE)):
        for (scenario, attack), printed in figures.items():
            row = next((row for row in rows if _is(row.cell, scenario, attack)), None)
            score = None if row is None else row.cell.score_of(system)
            ours = ["not run", "-"] if score is None else [_percent(score), str(score.n)]
            lines.append(_line([system, scenario, attack, *ours, f"{printed:.2f} %", _difference(score, printed)]))
    return "\n".join(lines)


def _difference(score: Score | None, printed: float) -> str:
    if score is None:
        return "-"
    low, high = score.interval_95
    if low <= printed <= high:
        return "no"
    return "yes, ours is higher" if score.percent > printed else "yes, ours is lower"


def _is(cell: Cell, scenario: str, attack: str) -> bool:
    return (cell.scenario, cell.attack) == (scenario, attack) and (
        cell.epsilon is None or abs(cell.epsilon - paper_figures.EPSILON) < 1e-9
    )


def _rows(records: Sequence[RobustnessRecord]) -> Iterator[Row]:
    """Yield every cell, those of more images first."""
    for record in sorted(records, key=lambda each: -each.data.n):
        for cell in record.cells:
            yield Row(record=record, cell=cell)


def _least(cell: Cell) -> float:
    """Return what the attack leaves the weakest system that its threat model is about."""
    targets = [score.percent for score in cell.scores if score.system in cell.targets and score.system != VICTIM]
    return min(targets, default=100.0)


def _words(row: Row, *, is_size_said: bool = False) -> list[str]:
    """Return threat model and attack; where there is no column for it, with an epsilon that is not the usual one."""
    cell = row.cell
    if cell.scenario == CLEAN:
        return ["nobody attacks", "-"]
    is_other = cell.epsilon is not None and abs(cell.epsilon - _EPSILON) > 1e-9
    size = f" at {epsilon_text(cell.epsilon)}" if is_size_said and is_other else ""
    return [cell.scenario, cell.attack.replace("|", "\\|") + size]


def _scores(row: Row, records: Sequence[RobustnessRecord]) -> list[str]:
    by_precision = {system.precision: system.name for record in records for system in record.systems
                    if system.kind == "artifact"}  # fmt: skip
    names = [VICTIM, PAIR, *(by_precision.get(precision, "") for precision in ("fp32", "fp16", "int8"))]
    return [*(row.cell_of(name) for name in names), str(row.cell.n)]


def _origin(record: RobustnessRecord) -> str:
    systems = "; ".join(f"{each.name}: {each.sha256[:12]}, {each.precision}, {each.device}" for each in record.systems)
    return (
        f"`capgan-edge {' '.join(record.arguments)}`, {record.date[:10]}, code {record.code}, "
        f"{record.data.name}, n = {record.data.n} of {record.data.num_available}, seed {record.seed}. {systems}."
    )


def _table(record: RobustnessRecord) -> str:
    names = [system.name for system in record.systems]
    lines = [
        _line(["threat model", "attack", "epsilon", *names, "n", "queries (median)", "seconds"]),
        f"|{'---|' * (6 + len(names))}",
    ]
    for cell in record.cells:
        row = Row(record=record, cell=cell)
        epsilon = "-" if cell.epsilon is None else epsilon_text(cell.epsilon)
        lines.append(_line([*_words(row), epsilon, *(row.cell_of(name) for name in names), str(cell.n),
                            f"{cell.queries.median:g}", f"{cell.seconds:.0f}"]))  # fmt: skip
    return "\n".join(lines)


def _worst(record: RobustnessRecord) -> str:
    if not record.worst:
        return ""
    lines = [_line(["right under all of", "epsilon", "system", "accuracy", "n"]), f"|{'---|' * 5}"]
    for worst in record.worst:
        low, high = worst.interval_95
        lines.append(_line([", ".join(worst.scenarios), epsilon_text(worst.epsilon), worst.system,
                            f"{worst.percent:.2f} % [{low:.2f}, {high:.2f}]", str(worst.n)]))  # fmt: skip
    return "\n".join(lines)


def _checks(record: RobustnessRecord) -> str:
    return "\n".join(f"- self-check {check.name}: **{check.state}**. Expected: {check.expected}. Came: {check.came}."
                     for check in record.checks)  # fmt: skip


def _untested(record: RobustnessRecord) -> str:
    return "Not tested in this run: " + "; ".join(f"{each.what} ({each.why})" for each in record.not_tested) + "."


def _percent(score: Score) -> str:
    low, high = score.interval_95
    return f"{score.percent:.2f} % [{low:.2f}, {high:.2f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
