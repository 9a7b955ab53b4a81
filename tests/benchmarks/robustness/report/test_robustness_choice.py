"""Which images are shown follows from the record's bits, by the rule that the page states."""

from __future__ import annotations

from report_records import EPSILONS, FILE, PAIR, VICTIM, cell, clean_cell, first, make_inputs, make_record

from capgan_benchmarks.robustness.record import Cell
from capgan_benchmarks.robustness.report.choice import NUM_SHOWN, Chosen, choose


def chosen_of(*cells: Cell) -> tuple[Chosen, ...]:
    record = make_record(cells=(clean_cell(), *cells), worst=(), flips=())
    return choose(record, make_inputs(record))


def test_broken_images_come_first_then_some_that_hold() -> None:
    (chosen,) = chosen_of(cell("end-to-end", "PGD-40", EPSILONS[1], {VICTIM: first(12), PAIR: first(3)}))
    assert chosen.system == PAIR
    assert chosen.rows == (
        *((i, "broken", False) for i in (3, 4, 5, 6, 7, 8)), (0, "held", True), (1, "held", True),
    )  # fmt: skip
    assert "9 of 12 that were right clean are broken" in chosen.rule


def test_images_that_fool_the_victim_are_saved_or_not() -> None:
    (chosen,) = chosen_of(
        cell("white-box-victim", "FGSM", EPSILONS[1], {VICTIM: [False] * 4 + [True] * 8, PAIR: [True, False] * 6})
    )
    assert chosen.rows == ((0, "saved", True), (2, "saved", True), (1, "not saved", False), (3, "not saved", False))
    assert "2 of 4 that fool" in chosen.rule


def test_the_strongest_attack_at_the_main_epsilon_is_shown() -> None:
    weak = cell("end-to-end", "FGSM", EPSILONS[1], {PAIR: first(9)})
    strong = cell("end-to-end", "PGD-40", EPSILONS[1], {PAIR: first(2)})
    other = cell("end-to-end", "PGD-40", EPSILONS[0], {PAIR: first(0)})
    (chosen,) = chosen_of(weak, strong, other)
    assert chosen.cell == strong
    assert len(chosen.rows) == NUM_SHOWN


def test_where_neither_main_scenario_was_run_another_is_shown() -> None:
    (chosen,) = chosen_of(cell("artifact-query", "Square-100", EPSILONS[1], {FILE: first(6)}))
    assert (chosen.cell.scenario, chosen.system) == ("artifact-query", FILE)


def test_nothing_is_shown_of_a_record_without_frames() -> None:
    assert chosen_of() == ()
