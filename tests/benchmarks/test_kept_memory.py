"""A workload is timed in processes that keep their memory and that do not; one that fails says why in a line."""

from __future__ import annotations

import pytest

from capgan_benchmarks.kept_memory import WORKLOADS, row_of
from capgan_edge.errors import CapganError

GIVEN = {"rounds": 2, "steps": 1, "batch": 4, "threads": 1}


def test_both_are_timed_in_turn_and_the_ratio_is_that_of_their_speeds() -> None:
    row = row_of(WORKLOADS[1], GIVEN)
    kept, returned = (row["images_per_s"][which] for which in ("kept", "returned"))
    ratio = row["kept_over_returned"]
    assert ratio["num_rounds"] == kept["num_rounds"] == 2
    assert kept["low"] / returned["high"] <= ratio["low"] <= ratio["high"] <= kept["high"] / returned["low"]


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(CapganError, match="expected nothing of this name to be timed"):
        row_of("nothing of this name", GIVEN)
