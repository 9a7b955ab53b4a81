"""Tables of what the packaged pairs hold, from the newest records of the robustness benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_benchmarks import paper_figures
from capgan_benchmarks.newest_robustness import (
    USUAL_EPSILON,
    Row,
    line,
    newest_records,
    of_most_images,
    percent_text,
    rows_of,
    words_of,
)
from capgan_benchmarks.other_victim_table import other_victim_section
from capgan_benchmarks.paper.section import paper_sections
from capgan_benchmarks.precisions_apart_table import precisions_apart_section
from capgan_benchmarks.robustness.config import epsilon_text
from capgan_benchmarks.robustness.record import CLEAN, Cell, RobustnessRecord, Score
from capgan_benchmarks.robustness.systems import PAIR, VICTIM
from capgan_benchmarks.robustness.worst import worst_of
from capgan_benchmarks.suspicion_table import suspicion_section


def readme_table() -> str:
    """Return of each pair and threat model what leaves the purified pair least at 8/255, what leaves it less yet at a
    smaller epsilon, and AutoAttack.
    """
    lines = ["| pair | threat model | attack | bare classifier | purified (torch) | FP32 | FP16 | INT8 | n |",
             f"|{'---|' * 9}"]  # fmt: skip
    for subject, records in newest_records().items():
        rows = of_most_images(records)
        chosen = [row for row in rows if row.cell.scenario == CLEAN][:1]
        for scenario in dict.fromkeys(row.cell.scenario for row in rows if row.cell.scenario != CLEAN):
            chosen += _strongest([row for row in rows if row.cell.scenario == scenario])
        lines += [line([subject, *words_of(row, is_size_said=True), *_scores(row, records)]) for row in chosen]
    return "\n".join(lines)


def _strongest(rows: Sequence[Row]) -> list[Row]:
    """Return AutoAttack, the strongest at 8/255, and a stronger one of a smaller epsilon.

    An attack without an epsilon goes as far as it must: it is shown only where no other was run.
    """
    bounded = [row for row in rows if row.cell.epsilon is not None]
    usual = [row for row in bounded if abs((row.cell.epsilon or 0) - USUAL_EPSILON) < 1e-9] if bounded else list(rows)
    smaller = [row for row in bounded if row not in usual]
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
    parts.append(paper_sections())
    for subject, records in newest_records().items():
        parts.append(f"## {subject}")
        for record in records:
            parts += [_origin(record), _table(record), _worst(record), _checks(record), _untested(record)]
        parts += [suspicion_section(subject, records), precisions_apart_section(subject, records)]
    parts += [other_victim_section(), "## The packaged pair beside the paper", _PAPER, _paper_table()]
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
    lines = [line(["system", "threat model", "attack", "ours", "n", "paper", "differs"]), f"|{'---|' * 7}"]
    rows = list(rows_of(newest_records().get("cifar10-nano", [])))
    for system, figures in ((PAIR, paper_figures.CAP_GAN), (VICTIM, paper_figures.BARE)):
        for (scenario, attack), printed in figures.items():
            row = next((row for row in rows if _is(row.cell, scenario, attack)), None)
            score = None if row is None else row.cell.score_of(system)
            ours = ["not run", "-"] if score is None else [percent_text(score), str(score.n)]
            lines.append(line([system, scenario, attack, *ours, f"{printed:.2f} %", _difference(score, printed)]))
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


def _least(cell: Cell) -> float:
    """Return what the attack leaves the weakest system that its threat model is about."""
    targets = [score.percent for score in cell.scores if score.system in cell.targets and score.system != VICTIM]
    return min(targets, default=100.0)


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
        line(["threat model", "attack", "epsilon", *names, "n", "queries (median)", "seconds"]),
        f"|{'---|' * (6 + len(names))}",
    ]
    for cell in record.cells:
        row = Row(record=record, cell=cell)
        epsilon = "-" if cell.epsilon is None else epsilon_text(cell.epsilon)
        lines.append(line([*words_of(row), epsilon, *(row.cell_of(name) for name in names), str(cell.n),
                            f"{cell.queries.median:g}", f"{cell.seconds:.0f}"]))  # fmt: skip
    return "\n".join(lines)


def _worst(record: RobustnessRecord) -> str:
    found = worst_of(record.cells)  # older records lack files that no threat model was about
    if not found:
        return ""
    lines = [line(["right under all of", "epsilon", "system", "accuracy", "n"]), f"|{'---|' * 5}"]
    for worst in found:
        low, high = worst.interval_95
        lines.append(line([", ".join(worst.scenarios), epsilon_text(worst.epsilon), worst.system,
                            f"{worst.percent:.2f} % [{low:.2f}, {high:.2f}]", str(worst.n)]))  # fmt: skip
    return "\n".join(lines)


def _checks(record: RobustnessRecord) -> str:
    return "\n".join(f"- self-check {check.name}: **{check.state}**. Expected: {check.expected}. Came: {check.came}."
                     for check in record.checks)  # fmt: skip


def _untested(record: RobustnessRecord) -> str:
    return "Not tested in this run: " + "; ".join(f"{each.what} ({each.why})" for each in record.not_tested) + "."
