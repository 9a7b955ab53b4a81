"""What the page reads out of a record."""

from __future__ import annotations

import pytest
from report_records import EPSILONS, PAIR, VICTIM, cell, clean_cell, first, make_record

from capgan_benchmarks.robustness.report.reading import Share, cells_at, fooled, lowest, main_epsilon, survivors
from capgan_benchmarks.robustness.report.words import epsilon, interval, listed, percent, plural, seconds


@pytest.mark.parametrize(
    ("epsilons", "expected"),
    [((4, 8, 16), 8 / 255), ((4, 4, 16), 4 / 255), ((16, 4), 4 / 255), ((None,), None), ((), None)],
)
def test_the_main_epsilon_is_the_papers_or_the_commonest(
    epsilons: tuple[int | None, ...], expected: float | None
) -> None:
    cells = tuple(cell("transfer", f"A{i}", each and each / 255, {PAIR: first(3)}) for i, each in enumerate(epsilons))
    assert main_epsilon(make_record(cells=(clean_cell(), *cells))) == expected


def test_the_lowest_figure_is_over_the_scenarios_asked_for() -> None:
    record = make_record()
    found = lowest(cells_at(record, EPSILONS[1], ("end-to-end",)), PAIR)
    assert found is not None
    assert (found[0].attack, found[1].num_right) == ("PGD-40", 2)
    assert lowest(cells_at(record, EPSILONS[1], ("transfer",)), PAIR) is None


def test_of_equal_figures_the_one_whose_threat_is_about_the_system_is_told() -> None:
    cells = [
        cell("end-to-end", "PGD-40", EPSILONS[0], {PAIR: first(2)}, targets=(VICTIM,)),
        cell("artifact-transfer", "PGD-40", EPSILONS[0], {PAIR: first(2)}, targets=(PAIR,)),
    ]
    found = lowest(cells, PAIR)
    assert found is not None
    assert found[0].scenario == "artifact-transfer"


def test_survivors_are_right_under_every_attack_on_the_images_of_all() -> None:
    cells = [cell("a", "x", None, {PAIR: [True, True, False]}), cell("a", "y", None, {PAIR: [True, False]})]
    surviving_N = survivors(make_record(), cells, PAIR)
    assert surviving_N is not None
    assert surviving_N.tolist() == [True, False]
    assert survivors(make_record(), cells, VICTIM) is None


def test_an_image_that_is_wrong_clean_survives_no_attack() -> None:
    clean = cell("clean", "clean", None, {PAIR: [False, True, True]})
    attacked = cell("a", "x", EPSILONS[0], {PAIR: [True, True, False]})
    surviving_N = survivors(make_record(cells=(clean, attacked)), [attacked], PAIR)
    assert surviving_N is not None
    assert surviving_N.tolist() == [False, True, False]


def test_fooled_counts_only_images_that_were_right() -> None:
    clean = cell("clean", "clean", None, {VICTIM: [True, True, False, True]})
    attacked = cell("transfer", "FGSM", EPSILONS[0], {VICTIM: [True, False, False, True]})
    assert fooled(make_record(cells=(clean, attacked)), [attacked], VICTIM) == Share(num=1, n=3)


def test_figures_are_as_fine_as_the_images_can_tell() -> None:
    assert (percent(12.345, 100), percent(12.345, 10_000)) == ("12.3 %", "12.35 %")
    assert interval((1.25, 98.754), 10_000) == "1.25 to 98.75"
    assert [epsilon(each) for each in (8 / 255, 0.05, None, 0.0)] == ["8/255", "0.05", "unbounded", "0/255"]
    assert [seconds(each) for each in (1.25, 90, 7_200)] == ["1.2 s", "1.5 min", "2.0 h"]
    assert (plural(1, "row"), plural(1_200, "row")) == ("1 row", "1,200 rows")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("none", "a", "a, b and c")
