"""How long is left: what was not timed yet is said as the most it takes, what was, by its own pace."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from capgan_benchmarks.robustness.pace import Pace
from capgan_benchmarks.robustness.planning import Job
from capgan_benchmarks.robustness.progress import watching

EPSILON = 8 / 255


def job(attack: str, n: int, passes: float, epsilon: float = EPSILON) -> Job:
    return Job(scenario="end-to-end", attack=attack, epsilon=epsilon, n=n, artifact=None, passes=passes)


@pytest.fixture
def jobs() -> tuple[Job, Job, Job]:
    return (job("fgsm", 64, 3), job("autoattack", 1000, 11600), job("autoattack", 1000, 11600, 2 * EPSILON))


def test_an_attack_that_was_not_timed_is_taken_at_full_length_and_said_so(jobs: tuple[Job, ...]) -> None:
    pace = Pace(jobs=jobs)
    assert not pace.is_known
    pace.note(0, 64, 0.192)  # a thousandth of a second a pass
    assert not pace.is_measured
    assert pace.left_s == pytest.approx(2000 * 11.6)
    assert pace.left_text == "at most about 6.4 h"


def test_an_attack_that_was_timed_goes_by_its_own_pace_at_any_epsilon(jobs: tuple[Job, ...]) -> None:
    pace = Pace(jobs=jobs)
    pace.note(0, 64, 0.192)
    pace.note(1, 50, 20.0)  # all fooled at once
    assert pace.is_measured
    assert pace.left_s == pytest.approx(1950 * 0.4)
    assert pace.left_text == "about 13 min"


def test_what_came_from_the_cache_is_not_timed(jobs: tuple[Job, ...]) -> None:
    pace = Pace(jobs=jobs)
    pace.note(0, 64, 0.192)
    pace.note(1, 1000, None)
    assert not pace.is_measured
    pace.note(2, 1000, None)
    assert pace.is_measured
    assert pace.left_s == 0


def test_the_estimate_is_said_as_a_bound_and_again_once_every_attack_was_timed(jobs: tuple[Job, ...]) -> None:
    said = io.StringIO()
    with watching(jobs, Console(file=said, width=200)) as watch:
        watch.start(0)
        watch.note(64, 0.192)
        watch.end(0.192, 64)
        watch.start(1)
        for _ in range(20):
            watch.note(50, 20.0)
        watch.end(400.0, 1000)
        watch.start(2)
        for _ in range(20):
            watch.note(50, 20.0)
        watch.end(400.0, 1000)
    lines = said.getvalue().splitlines()
    assert [line for line in lines if "more" in line] == [
        "by the attacks timed so far, attacks take at most about 6.4 h more",
        "by a batch of each attack, attacks take about 13 min more"]  # fmt: skip
    ends = [line for line in lines if line.startswith("[")]
    assert [line.partition("; ")[2] for line in ends] == [
        "at most about 6.4 h left",
        "about 7 min left",
        "about 0 s left",
    ]
