"""The record of one table: every cell with what it was made with, beside the paper's figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper.cells import Cell
from capgan_benchmarks.paper.plan import FIGURES, PaperConfig, skipped_of
from capgan_benchmarks.paper.printed import PAPERS_DATA, printed_percent
from capgan_benchmarks.records import made_now
from capgan_benchmarks.right import packed

if TYPE_CHECKING:
    from capgan_benchmarks.paper.systems import System
    from capgan_benchmarks.paper.victims import Victims
    from capgan_edge.data.images import ImageSet

COMMAND = "capgan-edge benchmark paper"


def table_record(
    table: str,
    config: PaperConfig,
    *,
    images: ImageSet,
    victims: Victims,
    systems: Sequence[System],
    trained: Mapping[str, Any],
    cells: Sequence[Cell],
    code: str,
    drawn: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record.

    Args:
        table: I to VI, or 1, 3, 5.
        config: of the run.
        images: that were attacked.
        victims: f and f'.
        systems: the rows.
        trained: of each trained row how: settings, epochs, images seen, the last row of its log.
        cells: all figures, row by row.
        code: the commit that ran, as it was when the run began: hours later the checkout may be another.
        drawn: of Figures 1 and 3, what else the picture is made of.
    """
    from capgan_benchmarks.demo.environment import read_environment

    return {
        "schema_version": 1,
        "kind": "paper-table",
        "table": table,
        **made_now(command=COMMAND, environment=asdict(read_environment(config.threads))),
        "code": code,
        "scale": config.scale,
        "epochs": config.epochs,
        "train_images": config.train_images,
        "batch_size": config.batch_size,
        "victim": victims.name,
        "victim_sha256": victims.classifier.sha256,
        "surrogate_sha256": None if victims.surrogate is None else victims.surrogate.sha256,
        "data": images.name,
        "n": len(images),
        "seed": config.seed,
        "skipped": list(skipped_of(table, config.skipped)),
        "systems": [{"name": each.name, "sha256": each.sha256, "settings": dict(each.settings),
                     "trained": trained.get(each.name)} for each in systems],
        "cells": [_cell(table, config, cell) for cell in cells],
        **({} if drawn is None else {"drawn": dict(drawn)}),
    }  # fmt: skip


def _cell(table: str, config: PaperConfig, cell: Cell) -> dict[str, Any]:
    low, high = cell.interval_95
    threat, attack = cell.column
    held: dict[str, Any] = {
        "system": cell.system, "threat": threat, "attack": attack, "epsilon": cell.epsilon, "n": cell.n,
        "num_right": cell.num_right, "right": packed(cell.is_right_N), "percent": cell.percent,
        "interval_95": [low, high], "mean_l2": cell.mean_l2, "queries": cell.queries,
        "gradients": cell.gradients, "seconds": round(cell.seconds, 3), "settings": dict(cell.settings),
    }  # fmt: skip
    if table in FIGURES or not config.data.startswith(PAPERS_DATA):
        return held
    printed = printed_percent(table, cell.system, cell.column)
    if printed is not None:
        held |= {"paper_percent": printed, "difference_points": cell.percent - printed,
                 "difference_95": [low - printed, high - printed]}  # fmt: skip
    return held
