"""Charts: whatever is drawn lies inside its box, and says its values."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from report_records import EPSILONS, PAIR, VICTIM, Page, cell, clean_cell, first, make_record

from capgan_benchmarks.robustness.report.curves import curves
from capgan_benchmarks.robustness.report.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARGIN,
    RIGHT,
    SIDE,
    TOP,
    WIDTH,
    Line,
    Point,
    panel,
    scatter,
)

PERCENT = st.floats(0, 100)
ROUNDED = 0.06


@st.composite
def points(draw: st.DrawFn) -> Point:
    low, value, high = sorted(draw(st.tuples(PERCENT, PERCENT, PERCENT)))
    return Point(x=draw(st.floats(0, 255)), value=value, interval=(low, high))


LINES = st.lists(
    st.builds(
        Line,
        name=st.text(max_size=5),
        style=st.none() | st.integers(0, 20),
        points=st.lists(points(), min_size=1, max_size=5).map(
            lambda held: tuple(sorted(held, key=lambda each: each.x))
        ),
    ),
    max_size=4,
)


@given(LINES)
def test_lines_bands_and_markers_lie_inside_the_plot(lines: list[Line]) -> None:
    chart = panel(lines, title="any <chart>")
    assert Page(chart).open == []
    places = [(float(x), float(y)) for x, y in re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", chart)]
    assert len(places) == sum(len(line.points) for line in lines)
    for path in re.findall(r'class="(?:band|curve) [^"]*" d="([^"]+)"', chart):
        places += [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]
    for x, y in places:
        assert LEFT - ROUNDED <= x <= WIDTH - RIGHT + ROUNDED
        assert TOP - ROUNDED <= y <= HEIGHT - BOTTOM + ROUNDED


def test_higher_accuracy_is_drawn_higher_and_a_larger_budget_further_right() -> None:
    held = (Point(x=4, value=90, interval=(80, 95)), Point(x=8, value=20, interval=(10, 30)))
    chart = panel([Line(name="a", style=0, points=held)], title="t")
    (x4, y4), (x8, y8) = ((float(x), float(y)) for x, y in re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", chart))
    assert x4 < x8
    assert y4 < y8
    assert "a, 8/255: 20.0 % (10.0 to 30.0)" in chart


COORDINATE = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=20), st.booleans())
def test_scattered_points_lie_inside_their_box(places: list[tuple[float, float]], is_attacked: bool) -> None:
    chart = scatter([("s0", is_attacked, places)], title="t")
    drawn = [(float(x), float(y)) for x, y in re.findall(r"M([-\d.]+) ([-\d.]+)", chart)]
    assert len(drawn) == len(places)
    assert all(MARGIN - ROUNDED <= place <= SIDE - MARGIN + ROUNDED for pair in drawn for place in pair)


def test_curves_begin_with_the_clean_accuracy_of_the_same_images_and_tell_success_on_the_victim() -> None:
    cells = (
        clean_cell().model_copy(
            update={"scores": cell("clean", "clean", None, {VICTIM: first(9), PAIR: first(11)}).scores}
        ),
        *(cell("transfer", "FGSM", each, {VICTIM: first(3, 10), PAIR: first(8, 10)}) for each in EPSILONS),
    )
    text = Page(curves(make_record(cells=cells))).attributes
    said = next(value for tag, name, value in text if tag == "svg" and name == "aria-label")
    assert f"{PAIR}: 100.0 % at 0/255, 80.0 % at 4/255, 80.0 % at 8/255" in said
    assert f"{VICTIM}: 90.0 % at 0/255, 30.0 % at 4/255" in said
    assert f"success on {VICTIM}: 66.7 % at 4/255" in said


def test_a_scenario_of_several_attacks_shows_what_survives_them_all() -> None:
    cells = (
        cell("clean", "clean", None, {PAIR: [True] * 11 + [False]}),
        cell("transfer", "FGSM", EPSILONS[0], {PAIR: [True] * 6 + [False] * 5 + [True]}),
        cell("transfer", "PGD-7", EPSILONS[0], {PAIR: [False] * 3 + [True] * 9}),
    )
    labels = [value for _, name, value in Page(curves(make_record(cells=cells))).attributes if name == "aria-label"]
    assert f"transfer, Right clean and under every attack so far. {PAIR}: 91.7 % at 0/255, 25.0 % at 4/255" in labels
    assert f"transfer, FGSM. {PAIR}: 91.7 % at 0/255, 58.3 % at 4/255" in labels, "one attack's figure is its own"
