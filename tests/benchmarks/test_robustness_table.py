"""Tables of results are the records', the paper's figures beside them, and a difference is one of intervals."""

from __future__ import annotations

import pytest

from capgan_benchmarks import robustness_table
from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_benchmarks.robustness_table import newest_records, readme_table, results_page


@pytest.fixture
def records() -> dict[str, list[RobustnessRecord]]:
    found = newest_records()
    assert found
    return found


def test_every_cell_of_the_newest_records_is_on_the_page(records: dict[str, list[RobustnessRecord]]) -> None:
    page = results_page()
    for each in (each for held in records.values() for each in held):
        for cell in each.cells:
            for score in cell.scores:
                low, high = score.interval_95
                assert f"{score.percent:.2f} % [{low:.2f}, {high:.2f}]" in page


def test_readme_shows_of_each_threat_model_what_its_strongest_attack_leaves(
    records: dict[str, list[RobustnessRecord]],
) -> None:
    lines = readme_table().splitlines()[2:]
    for subject, held in records.items():
        shown = {line.split(" | ")[1] for line in lines if line.startswith(f"| {subject} ")}
        assert shown == {"nobody attacks", *(cell.scenario for each in held for cell in each.cells[1:])}


@pytest.mark.parametrize(
    ("printed", "said"), [(50.0, "no"), (10.0, "yes, ours is higher"), (90.0, "yes, ours is lower")]
)
def test_a_figure_differs_from_the_papers_where_that_lies_outside_the_interval(
    records: dict[str, list[RobustnessRecord]], printed: float, said: str
) -> None:
    score = next(iter(records.values()))[0].cells[0].scores[0]
    ours = score.model_copy(update={"percent": 50.0, "interval_95": (40.0, 60.0)})
    assert robustness_table._difference(ours, printed) == said
    assert robustness_table._difference(None, printed) == "-"


def test_readme_shows_an_attack_on_each_file_that_was_asked(records: dict[str, list[RobustnessRecord]]) -> None:
    lines = readme_table().splitlines()[2:]
    for subject, held in records.items():
        asked = {
            cell.attack.split(": ")[0] for each in held for cell in each.cells if cell.scenario == "artifact-query"
        }
        shown = {
            line.split(" | ")[2].split(": ")[0] for line in lines if line.startswith(f"| {subject} | artifact-query")
        }
        assert shown == asked
