"""The paper's tables on docs/results.md: the newest record of each, and the claims judged by intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capgan_benchmarks.keep_record import main as keep
from capgan_benchmarks.keep_record import table_of
from capgan_benchmarks.paper.claims import CLAIMS, Claim, State, judged
from capgan_benchmarks.paper.extract import extract
from capgan_benchmarks.paper.figure import figure_of
from capgan_benchmarks.paper.page import page_of
from capgan_benchmarks.paper.plan import FIGURE_5, columns_of, rows_of
from capgan_benchmarks.paper.section import newest_tables, other_data, paper_section, paper_sections, theme_of
from capgan_benchmarks.right import packed, right_of
from capgan_edge.errors import ConfigError, DataError

CLEAN, BPDA = ("clean", "clean"), ("bpda", "pgd-40")


def cell(system: str, column: tuple[str, str], num_right: int, n: int = 1000) -> dict[str, Any]:
    return {"system": system, "threat": column[0], "attack": column[1], "epsilon": 8 / 255, "n": n, "mean_l2": None,
            "num_right": num_right, "percent": 100 * num_right / n, "interval_95": [0.0, 100.0]}  # fmt: skip


def record(table: str, cells: list[dict[str, Any]], date: str = "2026-01-02T00:00:00+00:00") -> dict[str, Any]:
    names = list(dict.fromkeys(each["system"] for each in cells))
    trained = {"epochs": 2, "images_seen": 97792, "seconds": 1800.0, "row": {"l1": 0.05, "gan": 0.0, "seconds": 900.0}}
    return {"kind": "paper-table", "table": table, "date": date, "environment": {"cpu": "a CPU", "num_cpus": 2},
            "scale": "nano", "epochs": 2, "victim": "f", "data": "cifar10-jpeg/test", "n": 1000, "seed": 0,
            "skipped": [], "cells": cells, "systems": [{"name": name, "trained": None if name == "jpeg" else trained}
                                                        for name in names]}  # fmt: skip


HIGHER = Claim(words="a holds more than b", table="VI", pairs=(("a", "b"),), columns=(CLEAN, BPDA), least_points=10.0)


@pytest.mark.parametrize(
    ("a", "b", "state"),
    [((900, 900), (500, 500), "shown"), ((900, 600), (500, 500), "not shown"), ((900, 400), (500, 800),
      "the other way round"), ((900, None), (500, 500), "not run")],
)  # fmt: skip
def test_a_claim_is_shown_where_every_difference_is_beyond_what_is_asked(
    a: tuple[int, int | None], b: tuple[int, int | None], state: State
) -> None:
    cells = [cell(name, column, num) for name, nums in (("a", a), ("b", b))
             for column, num in zip((CLEAN, BPDA), nums, strict=True) if num is not None]  # fmt: skip
    found = judged(HIGHER, record("VI", cells))
    assert found.state == state
    assert "clean: a +40.00 points over b" in found.evidence


def test_a_difference_that_is_surely_smaller_than_what_is_asked_is_told_as_that() -> None:
    cells = [cell("a", column, 5500, 10_000) for column in (CLEAN, BPDA)]
    cells += [cell("b", column, 5000, 10_000) for column in (CLEAN, BPDA)]
    assert judged(HIGHER, record("VI", cells)).state == "less than that"


def test_what_was_found_outweighs_what_was_left_out() -> None:
    cells = [cell("a", CLEAN, 100), cell("b", CLEAN, 500)]
    assert judged(HIGHER, record("VI", cells)).state == "the other way round"


def test_adversarial_training_holds_most_only_if_it_holds_more_than_each() -> None:
    claim = next(each for each in CLAIMS if "holds most" in each.words)
    end = ("end-to-end", "pgd-40")
    held = {"adversarial-training": 500, "cap-gan": 10, "ape-gan": 0, "hgd": 600}
    cells = [cell(name, end, num) for name, num in held.items()]
    assert judged(claim, record("IV", cells)).state == "the other way round"
    cells = [cell(name, end, min(num, 501 if name == "adversarial-training" else 100)) for name, num in held.items()]
    assert judged(claim, record("IV", cells)).state == "shown"


@pytest.mark.parametrize(("num_right", "state"), [(3, "shown"), (45, "not shown"), (200, "the other way round")])
def test_fallen_is_at_most_five_percent_by_the_interval(num_right: int, state: State) -> None:
    claim = Claim(words="a falls", table="IV", fallen=("a",), columns=(BPDA,))
    assert judged(claim, record("IV", [cell("a", BPDA, num_right)])).state == state


@pytest.mark.parametrize(("a", "state"), [(5000, "shown"), (5400, "not shown"), (7000, "the other way round"),
                                          (3000, "the other way round")])  # fmt: skip
def test_near_is_within_five_points_to_either_side(a: int, state: State) -> None:
    claim = Claim(words="a is near b", table="I", near=(("a", "b"),), columns=(BPDA,))
    cells = [cell("a", BPDA, a, 10_000), cell("b", BPDA, 5000, 10_000)]
    assert judged(claim, record("I", cells)).state == state


def test_the_same_images_decide_what_unrelated_samples_do_not() -> None:
    """Two rows of 90 and 92 % that miss the same images differ; of unrelated samples nobody could tell."""
    claim = Claim(words="a holds more than b", table="VI", pairs=(("a", "b"),), columns=(CLEAN,))
    cells = [cell("a", CLEAN, 920), cell("b", CLEAN, 900)]
    assert judged(claim, record("VI", cells)).state == "not shown"
    right = [each | {"right": packed(np.arange(1000) < each["num_right"])} for each in cells]
    assert judged(claim, record("VI", right)).state == "shown"
    assert judged(claim, record("VI", [right[0], cells[1]])).state == "not shown", "one of them does not say which"


@given(arrays(np.bool_, st.integers(1, 200)))
def test_which_images_were_right_survives_the_record(is_right_N: np.ndarray) -> None:
    held = {"n": len(is_right_N), "right": packed(is_right_N)}
    found = right_of(json.loads(json.dumps(held)))
    assert found is not None
    assert np.array_equal(found, is_right_N)
    assert right_of({"n": 3}) is None


def test_a_figure_under_attack_above_the_clean_one_is_told_as_what_it_is() -> None:
    held = {"II": record("II", [cell("hgd", BPDA, 858)]), "IV": record("IV", [cell("hgd", CLEAN, 824)])}
    assert "hgd under bpda pgd-40 (Table II): 85.80 over 82.40 %" in paper_section(held)
    held["IV"] = record("IV", [cell("hgd", CLEAN, 900)])
    assert "above the row's own clean figure" not in paper_section(held)


def test_a_table_says_what_its_budget_does_not() -> None:
    held = record("I", [cell("jpeg", CLEAN, 700), cell("cap-gan", CLEAN, 900)])
    held["systems"][0]["settings"] = {"quality": 20}
    held["systems"][1]["trained"] = held["systems"][1]["trained"] | {"config": {"semantic_epochs": 1}}
    page = page_of(held)
    assert "Of the epochs of CAP-GAN and its variants 1 is the semantic stage" in page
    assert (
        "JPEG's quality is 20, the one whose clean accuracy on held-out training images is nearest the paper's." in page
    )
    held["systems"][0]["settings"]["rule"] = "the one that costs nearest 2 points"
    assert "JPEG's quality is 20, the one that costs nearest 2 points." in page_of(held)


def test_every_claim_names_rows_and_columns_of_its_table() -> None:
    for claim in CLAIMS:
        rows = {*claim.fallen, *(name for pair in (*claim.pairs, *claim.near) for name in pair)}
        assert rows
        assert rows <= set(rows_of(claim.table))
        assert set(claim.columns) <= set(columns_of(claim.table))
        assert judged(claim, None).state == "no table yet"


def test_the_section_has_the_newest_record_of_each_table_and_what_training_took(tmp_path: Path) -> None:
    assert newest_tables(tmp_path) == {}
    assert paper_section({}) == ""
    for table, date, num in (("IV", "2026-01-02", 500), ("IV", "2026-01-03", 700), ("I", "2026-01-01", 300),
                             ("5", "2026-01-01", 300)):  # fmt: skip
        held = record(table, [cell("hgd", CLEAN, num), cell("jpeg", CLEAN, num)], f"{date}T00:00:00+00:00")
        (tmp_path / f"{theme_of(table)}_cpu_{date}.json").write_text(json.dumps(held))
    found = newest_tables(tmp_path)
    assert list(found) == ["I", "IV", FIGURE_5]
    page = paper_section(found)
    assert page.index("### Table I:") < page.index("### Table IV:") < page.index("### Figure 5:")
    assert "| hgd | 70.00 " in page
    assert "| hgd | 50.00 " not in page
    assert "| hgd | 2 | 97792 | 0.50 | l1 0.05, gan 0 |" in page
    assert "| jpeg | 2 |" not in page
    assert page.count("| no table yet |") == sum(claim.table in ("V", "VI") for claim in CLAIMS)
    assert page.count("| not run |") == sum(claim.table in ("I", "IV") for claim in CLAIMS)


def test_tables_of_other_data_stand_apart_and_are_held_against_nothing(tmp_path: Path) -> None:
    assert paper_sections(tmp_path) == ""
    ours = record("I", [cell("hgd", CLEAN, 700)])
    theirs = record("I", [cell("hgd", CLEAN, 600)]) | {"data": "gtsrb32/test"}
    for held in (ours, theirs):
        (tmp_path / f"{theme_of('I', held['data'])}_cpu_2026-01-02.json").write_text(json.dumps(held))
    assert newest_tables(tmp_path) == {"I": ours}
    assert other_data(tmp_path) == ("gtsrb32",)
    assert newest_tables(tmp_path, "gtsrb32") == {"I": theirs}
    own, other = paper_sections(tmp_path).split("## The same tables on gtsrb32")
    assert "| hgd | 70.00 " in own
    assert "| hgd | 60.00 " not in own
    assert "| hgd | 60.00 " in other
    assert "What the paper claims" not in other
    assert "behind the slash" not in other


def test_the_figure_has_a_curve_with_its_intervals_for_every_system() -> None:
    held = record(FIGURE_5, [cell(name, column, num) for name, num in (("bare", 900), ("hgd", 700))
                             for column in (CLEAN, ("transfer", "fgsm"))])  # fmt: skip
    root = ElementTree.fromstring(figure_of(held))
    said = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "hgd, 0/255: 70.0 % (0.0 to 100.0)" in said
    assert "hgd, 8/255: 70.0 % (0.0 to 100.0)" in said
    names = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text") if each.get("class") == "name"]
    assert names == ["bare", "hgd"]


def test_the_extract_has_a_row_a_defence_and_the_papers_figure_behind_ours() -> None:
    assert extract({}) == "No table has been run yet."
    end = cell("hgd", ("end-to-end", "pgd-40"), 20) | {"paper_percent": 0.01}
    found = extract({"IV": record("IV", [cell("hgd", CLEAN, 900), end])})
    assert "| hgd | 90.0 [0.0, 100.0] | - | - | - | - | - | 2.0 [0.0, 100.0] / 0.01 |" in found
    assert "| jpeg |" not in found
    assert "Table IV: nano, 2 epochs for every defence (the paper: up to 200 for CAP-GAN), cifar10-jpeg/test" in found
    few = record("II", [cell("hgd", BPDA, 30, 64)])
    found = extract({"II": few, "IV": record("IV", [cell("hgd", CLEAN, 900)]), "VI": record("VI", [])})
    assert "| hgd | 90.0 [0.0, 100.0] | - | - | - | - | 46.9 [0.0, 100.0, n = 64] | - |" in found
    assert "Tables II, IV: nano" in found
    assert "VI" not in found


def test_a_record_of_a_table_is_told_from_other_files(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert table_of(path) is None
    for text, is_table in (("{", False), ("[]", False), ('{"kind": "robustness"}', False),
                           (json.dumps(record("IV", [cell("hgd", CLEAN, 1)])), True)):  # fmt: skip
        path.write_text(text)
        assert (table_of(path) is not None) == is_table


def test_what_lacks_a_part_of_a_table_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "table-IV.json"
    held = record("IV", [cell("hgd", CLEAN, 1)])
    del held["cells"]
    path.write_text(json.dumps(held))
    with pytest.raises(DataError, match=r"expected a table's record with .*, got one without cells"):
        keep(path)
    with pytest.raises(ConfigError, match="expected no theme for a table"):
        keep(path, "end-to-end")


def test_a_figure_with_images_of_a_data_set_is_not_kept(tmp_path: Path) -> None:
    """They are not this project's to hand on; signs are drawn by its own code."""
    path = tmp_path / "figure-3.json"
    path.write_text(json.dumps(record("3", [cell("cap-gan", CLEAN, 1)])))
    with pytest.raises(ConfigError, match="expected a figure without other people's images, got Figure 3 of cifar10"):
        keep(path)
