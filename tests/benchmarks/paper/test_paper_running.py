"""The recipes on a few signs: what is missing is trained, what is crafted is shared and kept, budgets are not mixed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from capgan_benchmarks.paper.cells import Done
from capgan_benchmarks.paper.plan import PaperConfig
from capgan_benchmarks.paper.running import _train_images, costs_of, run_paper
from capgan_benchmarks.right import right_of
from capgan_benchmarks.robustness import attack_menu
from capgan_edge.errors import ConfigError
from capgan_export.source import find_source


class Told:
    """What a run says, and which batches it crafted or took from the store."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.batches: list[tuple[str, bool]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextlib.contextmanager
    def attacking(self) -> Iterator[Done]:
        yield lambda title, num, seconds: self.batches.append((title, seconds is not None))

    @property
    def made(self) -> list[str]:
        """Titles of what was crafted."""
        return [title for title, is_made in self.batches if is_made]


def run(config: PaperConfig) -> tuple[list[dict[str, Any]], Told]:
    told = Told()
    records = [json.loads(path.read_text()) for path in run_paper(config, told.say, told.attacking)]
    return records, told


def figures(record: dict[str, Any]) -> dict[tuple[str, str, str, float | None], int]:
    return {(cell["system"], cell["threat"], cell["attack"], cell["epsilon"]): cell["num_right"]
            for cell in record["cells"]}  # fmt: skip


@pytest.mark.slow
def test_a_table_trains_its_rows_by_one_budget_and_goes_on_from_what_is_there(config: PaperConfig) -> None:
    config = replace(config, skipped=("mi-fgsm", "pgd-40"))
    (record,), told = run(config)
    rows = ["ape-gan", "hgd", "adversarial-training", "cap-gan"]
    assert [system["name"] for system in record["systems"]] == rows
    assert {system["trained"]["epochs"] for system in record["systems"]} == {1}
    assert {system["trained"]["images_seen"] for system in record["systems"]} == {32}
    assert len({system["sha256"] for system in record["systems"]}) == len(rows)
    assert [line for line in told.lines if line.startswith("training")] == [
        f"training {row} for 1 epochs" for row in rows
    ]
    assert {(cell["threat"], cell["n"]) for cell in record["cells"]} == {("clean", 8), ("end-to-end", 8)}
    assert len(told.made) == 2 * len(rows), "end to end, every system is attacked by itself"
    rights = [right_of(cell) for cell in record["cells"]]
    assert [right_N is not None and right_N.sum() for right_N in rights] == [
        cell["num_right"] for cell in record["cells"]
    ]
    assert not any("paper_percent" in cell for cell in record["cells"]), "signs have nothing to do with CIFAR-10"
    assert str(config.data) not in (config.out / "table-IV.json").read_text()

    (again,), told = run(config)
    assert (told.made, [line for line in told.lines if line.startswith("training")]) == ([], [])
    assert figures(again) == figures(record)

    for changes, message in (
        ({"epochs": 2}, "to have the budget of this table, got epochs 1 for 2"),
        ({"victim": str(config.surrogate), "surrogate": Path(config.victim)}, "expected the victim that"),
        ({"scale": "small"}, "to have the (network|budget) of this table"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(replace(config, **changes))
        with pytest.raises(ConfigError, match=message):
            list(costs_of(replace(config, **changes)))
    assert [cost.what for cost in costs_of(config) if cost.what.startswith("train ")] == []
    source = find_source(str(config.out / "runs" / "hgd"))
    assert source.purifier.translate is not None, "what was trained for a table is exported like any other run"


@pytest.mark.slow
def test_what_is_crafted_on_the_victim_or_its_surrogate_is_crafted_once(config: PaperConfig) -> None:
    config = replace(config, tables=("I", "III"), skipped=("cw", "pgd-40", "mi-fgsm"))
    records, told = run(config)
    assert sorted(told.made) == ["transfer: FGSM", "transfer: PGD-7", "white-box-victim: FGSM",
                                 "white-box-victim: PGD-7"]  # fmt: skip
    assert [record["table"] for record in records] == ["I", "III"]
    assert {cell["attack"] for cell in records[0]["cells"]} == {"clean", "fgsm", "pgd-7"}
    assert records[0]["skipped"] == ["cw", "pgd-40", "mi-fgsm"]
    page = (config.out / "table-III.md").read_text()
    assert "Left out: cw, pgd-40, mi-fgsm" in page
    assert "| bare |" in page
    clean = {cell["system"]: cell["num_right"] for record in records for cell in record["cells"]
             if cell["threat"] == "clean"}  # fmt: skip
    quality = next(system["settings"] for system in records[0]["systems"] if system["name"] == "jpeg")
    assert quality["rule"].startswith("the one that costs nearest 2 points of f's clean accuracy")
    bare = float(re.findall(r"\(([0-9.]+) %\)", quality["rule"])[0])
    nearest = min(abs(each - max(bare - 2, 0)) for each in quality["sweep"].values())
    assert abs(quality["sweep"][str(quality["quality"])] - max(bare - 2, 0)) == pytest.approx(nearest, abs=0.06)
    assert set(clean) == {"bare", "jpeg", "thermometer", "ape-gan", "hgd", "adversarial-training", "cap-gan"}


@pytest.mark.parametrize(
    ("table", "surrogate", "message"),
    [("I", None, "expected a surrogate for the threat model transfer, got none"),
     ("5", None, "expected a surrogate for the threat model transfer, got none"),
     ("III", "victim", "expected a surrogate of other weights than the victim")],
)  # fmt: skip
def test_a_table_that_lacks_its_surrogate_is_refused_before_anything_is_trained(
    table: str, surrogate: str | None, message: str, config: PaperConfig
) -> None:
    config = replace(config, tables=(table,), surrogate=Path(config.victim) if surrogate else None)
    for call in (run, lambda held: list(costs_of(held))):
        with pytest.raises(ConfigError, match=message):
            call(config)
    assert not (config.out / "runs").exists()


def test_a_smaller_budget_is_of_fewer_images_and_never_goes_on_from_another(config: PaperConfig) -> None:
    config = replace(config, tables=("VI",), train_images=24)
    some = _train_images(config)
    every = _train_images(replace(config, train_images=None))
    assert (len(some), len(every)) == (24, 40)
    assert some.name.endswith("24 of 40 by seed 0")
    rows = [int(np.flatnonzero((every.images_NHWC == frame_HWC).all((1, 2, 3)))[0]) for frame_HWC in some.images_NHWC]
    assert rows == sorted(set(rows)), "each once, in their order"
    assert (every.labels_N[rows] == some.labels_N).all()
    with pytest.raises(ConfigError, match=r"expected at most 40 train images, all that .* has, got 41"):
        _train_images(replace(config, train_images=41))


def test_what_fills_no_batch_is_refused_before_anything_is_trained(config: PaperConfig) -> None:
    config = replace(config, batch_size=64)
    for call in (run, lambda held: list(costs_of(held))):
        with pytest.raises(ConfigError, match=r"expected at least one batch of 64 images, got 36 of "):
            call(config)
    assert not (config.out / "runs").exists()


def test_a_victim_of_other_classes_is_refused(config: PaperConfig) -> None:
    with pytest.raises(ConfigError, match=r"expected a victim of the 4 classes of .* for --victim, got one of 20"):
        run(replace(config, victim="signs-nano"))


def test_queries_and_bpda_are_run_on_what_has_no_gradient_too(
    config: PaperConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 20 queries in place of 5000, which took six minutes of what nothing is asserted about."""
    real = attack_menu.attack_from_name
    monkeypatch.setattr(attack_menu, "attack_from_name",
                        lambda name, **held: real("square-20" if name == "square" else name, **held))  # fmt: skip
    config = replace(config, tables=("II",), skipped=("spsa-1", "square-r5"), n=2, at_most={"square": 1})
    (record,), told = run(config)
    rows = ("jpeg", "ape-gan", "hgd", "cap-gan")
    assert {(cell["system"], cell["attack"]) for cell in record["cells"]} == {
        (name, attack) for name in rows for attack in ("square", "pgd-40")}  # fmt: skip
    assert set(told.made) == {"bpda: PGD-40", "query: Square-20"}
    assert {(cell["attack"], cell["n"]) for cell in record["cells"]} == {("square", 1), ("pgd-40", 2)}


def test_the_figures_draw_what_they_attack(config: PaperConfig) -> None:
    (plane, attention), told = run(replace(config, tables=("1", "3")))
    assert [line for line in told.lines if line.startswith("training")] == ["training cap-gan for 1 epochs"]
    assert told.made == ["white-box-victim: FGSM"] * 2, "at 16/255 and at 8/255"
    assert {cell["epsilon"] for cell in plane["cells"] if cell["threat"] != "clean"} == {16 / 255}
    assert {cell["epsilon"] for cell in attention["cells"] if cell["threat"] != "clean"} == {8 / 255}

    drawn = plane["drawn"]
    assert [panel["title"] for panel in drawn["panels"]] == ["pixels", "logits of f", "logits of f behind cap-gan"]
    assert all(np.isfinite(panel["places"]).all() and len(panel["places"]) == 2 * drawn["n"]
               for panel in drawn["panels"])  # fmt: skip
    root = ElementTree.fromstring((config.out / "figure-1.svg").read_text())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 1 + len(drawn["panels"])

    right = {name: sum(right_of(cell)[each["index"]] for each in attention["drawn"]["images"])
             for name in ("bare", "cap-gan") for cell in attention["cells"]
             if (cell["system"], cell["threat"]) == (name, "white-box-victim")}  # fmt: skip
    for name, label in (("bare", "attacked_label"), ("cap-gan", "purified_label")):
        assert right[name] == sum(each[label] == each["truth"] for each in attention["drawn"]["images"])
    truths = [each["truth"] for each in attention["drawn"]["images"]]
    assert truths == sorted(set(truths)), "one image a class"
    with Image.open(config.out / "figure-3.png") as image:
        assert image.format == "PNG"
    assert "## Figure 3: where the purifier looks" in (config.out / "figure-3.md").read_text()


@pytest.mark.parametrize(("settings", "message"), [({"n": 3}, "expected at least 4 test images for Figure 1, got 3")])
def test_a_figure_of_too_few_images_is_refused(settings: dict[str, Any], message: str, config: PaperConfig) -> None:
    with pytest.raises(ConfigError, match=message):
        run(replace(config, tables=("1",), **settings))
    with pytest.raises(ConfigError, match="expected FGSM for Figures 1 and 3"):
        replace(config, tables=("1",), skipped=("fgsm",))


def test_a_dry_run_trains_nothing_and_costs_grow_with_the_budget(config: PaperConfig) -> None:
    once = {cost.what: cost for cost in costs_of(config)}
    assert {"train ape-gan", "train hgd", "train adversarial-training", "train cap-gan",
            "end-to-end: pgd-40 on cap-gan"} <= once.keys()  # fmt: skip
    assert not (config.out / "runs").exists()
    assert all(cost.pflop > 0 and cost.hours > 0 for cost in once.values())
    twice = {cost.what: cost for cost in costs_of(replace(config, epochs=2))}
    for row in ("ape-gan", "hgd", "adversarial-training"):
        assert twice[f"train {row}"].pflop == pytest.approx(2 * once[f"train {row}"].pflop)
    assert once["end-to-end: pgd-40 on hgd"].pflop == pytest.approx(40 * once["end-to-end: fgsm on hgd"].pflop)
    ordinary = once["train adversarial-training"].pflop
    assert ordinary > 3 * once["end-to-end: fgsm on adversarial-training"].pflop
