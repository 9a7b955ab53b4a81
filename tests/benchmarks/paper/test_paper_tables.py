"""The printed figures, and how a table stands ours beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capgan_benchmarks import paper_figures
from capgan_benchmarks.paper.page import page_of
from capgan_benchmarks.paper.plan import PaperConfig, defence_and_weights, rows_of, systems_of
from capgan_benchmarks.paper.printed import COLUMNS, SYSTEMS, printed_percent
from capgan_benchmarks.paper.training import run_config
from capgan_benchmarks.robustness.attack_menu import attack_from_name
from capgan_benchmarks.threats.crafting import attack_title
from capgan_edge.cli import GROUP, main
from capgan_edge.defences.catalogue import CATALOGUE
from capgan_edge.errors import ConfigError
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import LossWeights

TABLES = ("I", "II", "III", "IV", "V", "VI")
SUMS = {"I": 2627.05, "II": 603.29, "III": 2045.53, "IV": 689.56, "V": 2028.38, "VI": 1751.78}


def test_every_row_has_a_figure_or_a_gap_for_every_column() -> None:
    for table in TABLES:
        for system in SYSTEMS[table]:
            values = [printed_percent(table, system, column) for column in COLUMNS[table]]
            assert all(value is None or 0 <= value <= 100 for value in values)
    assert printed_percent("I", "thermometer", ("transfer", "cw")) is None


def test_the_printed_figures_add_up_to_what_was_read_from_the_paper() -> None:
    """Sums by table, added from the paper's pages apart from this code: a figure mistyped here moves one."""
    sums = {table: sum(printed_percent(table, row, column) or 0 for row in SYSTEMS[table] for column in COLUMNS[table])
            for table in TABLES}  # fmt: skip
    assert sums == pytest.approx(SUMS)


def test_the_two_places_that_hold_cap_gan_s_figures_agree() -> None:
    held = {}
    for table in ("I", "II", "III", "IV"):
        for threat, attack in COLUMNS[table]:
            title = attack if threat == "clean" else attack_title(
                attack_from_name(attack, epsilon=8 / 255, seed=0, tier="paper"))  # fmt: skip
            title = f"5 starts of {title}" if attack == "square-r5" else title
            held[(threat, title)] = printed_percent(table, "cap-gan", (threat, attack))
    assert held == dict(paper_figures.CAP_GAN)
    bare = {column: printed_percent("III", "bare", column) for column in COLUMNS["III"]}
    assert sorted(filter(None, bare.values())) == sorted(paper_figures.BARE.values())


def test_every_row_is_a_defence_of_the_catalogue_or_the_bare_victim() -> None:
    for name in systems_of((*TABLES, "1", "3", "5")):
        assert name == "bare" or defence_and_weights(name)[0] in CATALOGUE
    assert rows_of("5") == ("bare", *SYSTEMS["I"])
    assert systems_of(("V", "VI")).count("cap-gan") == 1


def test_the_rows_of_table_v_differ_from_cap_gan_in_one_weight(tmp_path: Path) -> None:
    config = PaperConfig(tables=("V",), out=tmp_path)
    usual = run_config("cap-gan", config)
    assert isinstance(usual, CapGanConfig)
    rows = {"alpha-0.5": LossWeights(alpha=0.5), "alpha-0.9": LossWeights(alpha=0.9),
            "temperature-1": LossWeights(temperature=1), "temperature-5": LossWeights(temperature=5)}  # fmt: skip
    for name, weights in rows.items():
        assert run_config(name, config) == replace(usual, weights=weights)


def record_with(cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {"table": "IV", "scale": "nano", "epochs": 3, "victim": "f", "data": "cifar10-jpeg/test", "n": 100,
            "seed": 0, "environment": {"cpu": "a CPU"}, "date": "2026-01-02T03:04:05", "skipped": [],
            "systems": [{"name": "hgd"}, {"name": "cap-gan"}], "cells": cells}  # fmt: skip


def cell(system: str, percent: float, interval: tuple[float, float], printed: float, n: int = 100) -> dict[str, Any]:
    low, high = interval
    return {"system": system, "threat": "end-to-end", "attack": "fgsm", "epsilon": 8 / 255, "n": n, "percent": percent,
            "interval_95": list(interval), "paper_percent": printed, "difference_points": percent - printed,
            "difference_95": [low - printed, high - printed]}  # fmt: skip


def test_a_difference_is_bold_where_the_interval_does_not_hold_the_paper_s_figure() -> None:
    page = page_of(record_with([cell("hgd", 20, (13, 29), 26.6), cell("cap-gan", 30, (20, 42), 53.11, n=50)]))
    assert "| hgd | 20.00 [13.00, 29.00] / 26.60, -6.60 |" in page
    assert "| cap-gan | 30.00 [20.00, 42.00, n = 50] / 53.11, **-23.11** |" in page
    assert "nano, 3 epochs for every defence, victim f; cifar10-jpeg/test, n = 100 unless said, seed 0; a CPU" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"tables": ("VII",)}, "expected tables among I, II, III, IV, V, VI, 1, 3, 5, got 'VII'"),
     ({"tables": ()}, "got 'none'"), ({"scale": "huge"}, "expected a scale among nano, small, paper"),
     ({"epochs": 0}, "expected epochs of at least 1"), ({"n": 0}, "expected n of at least 1"),
     ({"batch_size": 1}, "expected a batch size of at least 2"),
     ({"skipped": ("pgd",)}, "expected to skip an attack of these tables, fgsm, mi-fgsm, pgd-7, pgd-40, cw, got 'pgd'"),
     ({"train_images": 0}, "expected train images of at least 1"),
     ({"at_most": {"pgd": 3}}, "expected a number of images for an attack of these tables, fgsm, .*, got 'pgd'"),
     ({"at_most": {"cw": 0}}, "expected at least 1 image for cw, got 0"),
     ({"tables": ("5",), "skipped": ("cw",)}, "expected to skip an attack of these tables, fgsm, got 'cw'")],
)  # fmt: skip
def test_what_no_recipe_can_run_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        PaperConfig(**({"tables": ("I",), "out": tmp_path} | settings))


def test_the_command_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import EntryPoint

    part = EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)
    for arguments, said in ((["VII"], "got 'VII'"), (["I", "--skip", "nothing"], "got 'nothing'"),
                            (["I", "--at-most", "cw"], "cw=64, got 'cw'"), (["I", "--at-most", "cw=-3"], "got 'cw=-3'"),
                            (["I", "--data", "not-there"], "not-there")):  # fmt: skip
        assert main(["benchmark", "paper", *arguments], [part]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
