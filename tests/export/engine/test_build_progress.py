"""The share of a build: phases in phases add up, never fall, and a cancelled build is told to stop."""

from __future__ import annotations

import pytest

from capgan_export.engine.progress import BuildProgress


def test_inner_steps_are_shares_of_the_outer_step() -> None:
    told: list[tuple[str, float]] = []
    progress = BuildProgress(lambda phase, share: told.append((phase, share)))
    progress.start("whole", None, 2)
    progress.start("part", "whole", 4)
    assert progress.step("part", 0)
    progress.step("part", 1)
    progress.finish("part")
    progress.step("whole", 0)
    progress.finish("whole")
    assert told == [
        ("whole", 0), ("part", 0), ("part", 1 / 8), ("part", 2 / 8), ("whole", 1 / 2), ("whole", 1),
    ]  # fmt: skip


def test_a_share_never_falls_and_never_passes_the_whole() -> None:
    told: list[float] = []
    progress = BuildProgress(lambda phase, share: told.append(share))
    progress.start("whole", None, 1)
    progress.step("whole", 7)
    progress.start("another", "nobody", 10)
    progress.step("unheard of", 3)
    progress.start("its own parent", "its own parent", 2)
    assert told == [0, 1, 1, 1]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_step_says_whether_to_go_on(is_cancelled: bool) -> None:
    progress = BuildProgress()
    progress.start("whole", None, 2)
    progress.is_cancelled = is_cancelled
    assert progress.step("whole", 0) is not is_cancelled
