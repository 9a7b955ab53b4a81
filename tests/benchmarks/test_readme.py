"""README's table is what the cards say, and nobody typed it in."""

from __future__ import annotations

import pytest

from capgan_benchmarks.readme import README, with_table
from capgan_edge.errors import DataError


def test_the_table_in_readme_is_the_one_that_the_command_writes() -> None:
    text = README.read_text()
    assert with_table(text) == text, "run python -m capgan_benchmarks.readme"


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(DataError, match="markers"):
        with_table("# no table here")
