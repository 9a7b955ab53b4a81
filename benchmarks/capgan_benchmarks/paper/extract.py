"""README's extract of the paper's tables: of every defence the figure that says most of each threat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.paper.systems import BARE

_COLUMNS: tuple[tuple[str, Column, tuple[str, ...]], ...] = (
    ("clean", CLEAN, ("I", "III", "IV")),
    ("transfer, MI-FGSM", ("transfer", "mi-fgsm"), ("I",)),
    ("on f, MI-FGSM", ("white-box-victim", "mi-fgsm"), ("III",)),
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
        cells = [_words(_found(records, name, column, tables)) for _, column, tables in _COLUMNS]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(_origin(records))])


def _found(
    records: Mapping[str, Mapping[str, Any]], system: str, column: Column, tables: tuple[str, ...]
) -> Mapping[str, Any] | None:
    cells: list[Mapping[str, Any]] = [cell for table in tables if table in records for cell in records[table]["cells"]]
    return next((cell for cell in cells if cell["system"] == system and (cell["threat"], cell["attack"]) == column),
                None)  # fmt: skip


def _words(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    low, high = cell["interval_95"]
    paper = f" / {cell['paper_percent']:.2f}" if "paper_percent" in cell else ""
    return f"{cell['percent']:.1f} [{low:.1f}, {high:.1f}]{paper}"


def _origin(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the tables were made of, in a line for each that differ."""
    said = dict.fromkeys(
        f"{each['scale']}, {each['epochs']} epochs for every defence (the paper: 200), {each['data']}, "
        f"n = {each['n']}, seed {each['seed']}, {each['environment']['cpu']}, {each['date'][:10]}."
        for each in records.values()
    )
    return list(said)
