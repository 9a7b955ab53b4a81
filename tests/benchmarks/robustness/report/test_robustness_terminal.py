"""What the terminal prints of a record."""

from __future__ import annotations

import io

from report_records import EPSILONS, FILE, PAIR, VICTIM, cell, clean_cell, detection, first, make_record
from rich.console import Console

from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_benchmarks.robustness.terminal import print_record


def printed(record: RobustnessRecord) -> str:
    said = io.StringIO()
    print_record(record, Console(file=said, width=250))
    return said.getvalue()


def test_the_detector_is_told_for_targets_and_for_the_artifacts_that_ship() -> None:
    right = {VICTIM: first(9), PAIR: first(7), FILE: first(7)}
    stealthy = cell(
        "stealthy", "PGD-40", EPSILONS[1], right, targets=(PAIR,), detections=[detection(), detection(FILE)]
    )
    on_file = cell("artifact-query", "Square", EPSILONS[1], right, targets=(FILE,),
                   detections=[detection(), detection(FILE)])  # fmt: skip
    said = printed(make_record(cells=(clean_cell(), stealthy, on_file)))
    table = said.split("suspicion: what fools and is not noticed")[1].split("self-checks")[0]
    lines = [[part.strip() for part in line.split("│")[1:3]] for line in table.splitlines() if "│" in line]
    assert lines == [[PAIR, "PGD-40"], ["", "stealthy"], [FILE, "PGD-40"], ["", "stealthy"], [FILE, "Square"],
                     ["", "artifact-query"]]  # fmt: skip
    for figure in ("41.7 (19.3-68.0)", "33.3 (13.8-60.9)", "28.6 (8.2-64.1)", "50.0 (25.4-74.6)", "12 + 12 (7)"):
        assert table.count(figure) == 3, figure


def test_worst_cases_say_that_clean_images_are_among_them() -> None:
    assert "worst case: right clean and under every attack" in printed(make_record())
