"""Keep a record of `capgan-edge benchmark robustness`, or of one of the paper's tables, among the repository's results.

python -m capgan_benchmarks.keep_record out/record.json THEME
python -m capgan_benchmarks.keep_record runs/paper/table-IV.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError, DataError

_TABLES_NEED = ("table", "date", "environment", "scale", "epochs", "victim", "data", "n", "seed", "skipped", "systems",
                "cells")  # fmt: skip


def main(
    path: Annotated[Path, typer.Argument(help="The record.json of --out, or a table's record.")],
    theme: Annotated[str, typer.Argument(help="Of a robustness record: what it was about, a word or two.")] = "",
) -> None:
    """Check the record, and write it to benchmarks/results/robustness-SUBJECT-THEME_HARDWARE_DATE.json, or
    paper-table-TABLE_HARDWARE_DATE.json (behind TABLE the data, where they are not the paper's).
    """
    from capgan_benchmarks.paper.plan import ATTENTION
    from capgan_benchmarks.paper.section import theme_of
    from capgan_benchmarks.robustness.record import read_record, write_record
    from capgan_edge.files import write_json

    if table := table_of(path):
        if theme:
            raise ConfigError(f"expected no theme for a table, which has its name, got {theme!r}; leave it out")
        missing = [key for key in _TABLES_NEED if key not in table]
        if missing:
            raise DataError(f"{path}: expected a table's record with {', '.join(_TABLES_NEED)}, got one without "
                            f"{missing[0]}; make it again by capgan-edge benchmark paper")  # fmt: skip
        if table["table"] == ATTENTION and not table["data"].startswith("signs"):
            raise ConfigError(f"expected a figure without other people's images, got Figure 3 of {table['data']}: keep "
                              "it to yourself, or make it of `--data signs`, which are drawn by code")  # fmt: skip
        name = record_name(theme_of(table["table"], table["data"]), table)
        write_json(ROOT / "benchmarks" / "results" / name, table)
        typer.echo(f"wrote benchmarks/results/{name}", err=True)
        return
    if not theme:
        raise ConfigError("expected what the run was about, got nothing; name it in a word or two: end-to-end")
    record = read_record(path)
    name = record_name(f"robustness-{record.subject}-{theme}", record.model_dump())
    write_record(ROOT / "benchmarks" / "results" / name, record)
    typer.echo(f"wrote benchmarks/results/{name}", err=True)


def table_of(path: Path) -> dict[str, Any] | None:
    """Return the record of one of the paper's tables; None where the file is of another kind, or is none."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return None  # what reads the other kind says what is wrong
    return held if isinstance(held, dict) and held.get("kind") == "paper-table" else None


if __name__ == "__main__":
    run_script(main)
