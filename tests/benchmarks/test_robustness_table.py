"""Tables of results are the records', the paper's figures beside them, and a difference is one of intervals."""

from __future__ import annotations

import pytest

from capgan_benchmarks import robustness_table
from capgan_benchmarks.newest_robustness import newest_records, of_most_images
from capgan_benchmarks.precisions_apart_table import precisions_apart_section
from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_benchmarks.robustness_table import readme_table, results_page
from capgan_benchmarks.suspicion_table import suspicion_section


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


def test_an_attack_without_a_bound_is_not_held_against_those_that_have_one() -> None:
    lines = readme_table().splitlines()[2:]
    assert any(" bpda " in line for line in lines)
    assert not any("CWL2" in line for line in lines)


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


def test_of_each_attack_whose_detection_was_measured_the_page_tells_it(
    records: dict[str, list[RobustnessRecord]],
) -> None:
    page = results_page()
    for subject, held in records.items():
        section = suspicion_section(subject, held)
        assert section in page
        lines = [line for line in section.splitlines() if line.startswith("| stealthy | ")]
        shown = {line.split(" | ")[1] for line in lines}
        assert {cell.attack for each in held for cell in each.cells if cell.scenario == "stealthy"} == shown
        assert lines, f"{subject} was never attacked by one who looks at its suspicion"


def test_a_detector_is_told_of_by_the_file_that_is_fooled_most_often_without_an_alarm(
    records: dict[str, list[RobustnessRecord]],
) -> None:
    record = next(each for each in records["signs-nano"] if any(cell.scenario == "stealthy" for cell in each.cells))
    cell = next(cell for cell in record.cells if cell.scenario == "artifact-transfer" and len(cell.detections) > 2)
    worst = max(each.at_5.unnoticed.num for each in cell.detections if each.system in cell.targets)
    lines = suspicion_section("signs-nano", [record.model_copy(update={"cells": [cell]})]).splitlines()
    assert lines[-1].startswith(f"| {cell.scenario} | {cell.attack} | ")
    assert lines[-1].split(" | ")[-2].startswith(f"{100 * worst / cell.n:.2f} % [")


def test_no_row_is_of_a_figure_of_runtimes(records: dict[str, list[RobustnessRecord]]) -> None:
    for held in records.values():
        for row in of_most_images(held):
            assert "bf16" not in {system.precision for system in row.record.systems}
            assert not any("OpenVINO" in system.device for system in row.record.systems)


def test_of_as_many_images_the_record_that_scores_most_is_taken(records: dict[str, list[RobustnessRecord]]) -> None:
    record = max(records["cifar10-nano"], key=lambda each: len(each.systems))
    cell = record.cells[1]
    fewer = record.model_copy(update={"cells": [cell.model_copy(update={"scores": cell.scores[:2]})]})
    (row,) = of_most_images([fewer, record.model_copy(update={"cells": [cell]})])
    assert row.cell.scores == cell.scores


def test_every_comparison_with_the_fp32_file_is_on_the_page_and_none_between_others(
    records: dict[str, list[RobustnessRecord]],
) -> None:
    record = max(records["cifar10-robust-nano"], key=lambda each: len(each.flips))
    lines = precisions_apart_section("cifar10-robust-nano", [record]).splitlines()
    shown = [line.split(" | ")[2:4] for line in lines if line.startswith("| ") and "labels differ" not in line]
    assert shown == [[each.other, each.reference] for each in record.flips if each.reference == "model.fp32.onnx"]
    assert precisions_apart_section("x", [record.model_copy(update={"flips": []})]) == ""
