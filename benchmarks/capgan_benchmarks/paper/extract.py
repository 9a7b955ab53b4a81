"""README's extract of the paper's tables: of every defence the figures that say most of each threat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capgan_benchmarks.paper.page import of_images
from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.paper.systems import BARE

_COLUMNS: tuple[tuple[str, Column, tuple[str, ...]], ...] = (
    ("clean", CLEAN, ("I", "III", "IV")),
    ("transfer, MI-FGSM", ("transfer", "mi-fgsm"), ("I",)),
    ("transfer, CW", ("transfer", "cw"), ("I",)),
    ("on f, MI-FGSM", ("white-box-victim", "mi-fgsm"), ("III",)),
    ("on f, CW", ("white-box-victim", "cw"), ("III",)),
    ("BPDA, PGD-40", ("bpda", "pgd-40"), ("II",)),
    ("on f(T(.)), PGD-40", ("end-to-end", "pgd-40"), ("IV",)),
)
"""Heads, columns, and the tables that have them."""
_ROWS = (BARE, "jpeg", "thermometer", "ape-gan", "hgd", "adversarial-training", "cap-gan")


def extract(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one row a defence, ours with its interval and the paper's behind it; a line where nothing was run."""
    if not any(table in records for _, _, tables in _COLUMNS for table in tables):
        return "No table has been run yet."
    lines = [f"| defence | {' | '.join(head for head, _, _ in _COLUMNS)} |", f"|{'---|' * (1 + len(_COLUMNS))}"]
    for name in _ROWS:
        cells = [_words(*_found(records, name, column, tables)) for _, column, tables in _COLUMNS]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(_origin(records))])


def _found(
    records: Mapping[str, Mapping[str, Any]], system: str, column: Column, tables: tuple[str, ...]
) -> tuple[Mapping[str, Any] | None, int]:
    """Return the figure, and how many images its table has."""
    for table in tables:
        for cell in records[table]["cells"] if table in records else ():
            if cell["system"] == system and (cell["threat"], cell["attack"]) == column:
                return cell, records[table]["n"]
    return None, 0


def _words(cell: Mapping[str, Any] | None, usual_n: int) -> str:
    if cell is None:
        return "-"
    low, high = cell["interval_95"]
    n = "" if cell["n"] == usual_n else f", n = {cell['n']}"
    paper = f" / {cell['paper_percent']:.2f}" if "paper_percent" in cell else ""
    return f"{cell['percent']:.1f} [{low:.1f}, {high:.1f}{n}]{paper}"


def _origin(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the tables that are shown were made of, those of one making in one line."""
    said = dict[str, list[str]]()
    shown = {table for _, _, tables in _COLUMNS for table in tables}
    for table in (table for table in records if table in shown):
        each = records[table]
        made = (f"{each['scale']}, {each['epochs']} epochs{of_images(each)} for every defence "
                f"(the paper: up to 200 for CAP-GAN), {each['data']}, n = {each['n']} unless said, "
                f"seed {each['seed']}, {each['environment']['cpu']}, "
                f"{each['date'][:10]}.")  # fmt: skip
        said.setdefault(made, []).append(table)
    return [f"Table{'s' if len(tables) > 1 else ''} {', '.join(tables)}: {made}" for made, tables in said.items()]
