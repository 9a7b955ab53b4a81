"""README's table is what the cards say, and nobody typed it in."""

from __future__ import annotations

import pytest

from capgan_benchmarks.endurance.tables import endurance_page
from capgan_benchmarks.packaged_weights import weights_note
from capgan_benchmarks.paper.figures import picture_of
from capgan_benchmarks.paper.section import pictures
from capgan_benchmarks.readme import (
    ENDURANCE,
    LATENCY,
    PRECISION,
    README,
    RESULTS,
    precision_page,
    with_goals,
    with_tables,
)
from capgan_benchmarks.robustness_table import results_page
from capgan_edge import zoo
from capgan_edge.errors import DataError


def test_the_table_in_readme_is_the_one_that_the_command_writes() -> None:
    text = README.read_text()
    assert with_tables(text) == text, "run python -m capgan_benchmarks.readme"


def test_the_page_of_precisions_is_the_one_that_the_command_writes() -> None:
    assert PRECISION.read_text() == precision_page(), "run python -m capgan_benchmarks.readme"


def test_the_page_of_results_is_the_one_that_the_command_writes() -> None:
    assert RESULTS.read_text() == results_page(), "run python -m capgan_benchmarks.readme"


def test_the_figures_of_the_paper_are_those_that_the_command_draws() -> None:
    assert {path.name for path in RESULTS.parent.glob("paper-figure-*")} == set(pictures())
    for name, record in pictures().items():
        if name.endswith(".svg"):  # a PNG's text is set by whatever fonts are there
            assert (RESULTS.parent / name).read_bytes() == picture_of(record), "run python -m capgan_benchmarks.readme"


def test_the_page_of_endurance_is_the_one_that_the_command_writes() -> None:
    assert ENDURANCE.read_text() == endurance_page(), "run python -m capgan_benchmarks.readme"


def test_the_goals_of_speed_are_those_that_the_command_writes() -> None:
    text = LATENCY.read_text()
    assert with_goals(text) == text, "run python -m capgan_benchmarks.readme"


def test_a_record_of_weights_packaged_before_says_so() -> None:
    now = zoo.card("cifar10-nano")["weights_sha256"]
    assert weights_note({"pair": "cifar10-nano", "weights_sha256": now}) == ""
    before = weights_note({"pair": "cifar10-nano", "weights_sha256": "0123456789abcdef"})
    assert before == ", of weights packaged before (0123456789ab)"


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(DataError, match="markers"):
        with_tables("# no table here")
    with pytest.raises(DataError, match="markers"):
        with_goals("# no table here")
