"""Keep a record of `capgan-edge benchmark robustness` among the repository's results.

python -m capgan_benchmarks.keep_record out/record.json THEME
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capgan_benchmarks.records import ROOT, record_name
from capgan_benchmarks.script import run_script


def main(
    path: Annotated[Path, typer.Argument(help="The record.json of --out.")],
    theme: Annotated[str, typer.Argument(help="What the run was about, in a word or two with hyphens.")],
) -> None:
    """Check the record, and write it to benchmarks/results/robustness-SUBJECT-THEME_HARDWARE_DATE.json."""
    from capgan_benchmarks.robustness.record import read_record, write_record

    record = read_record(path)
    name = record_name(f"robustness-{record.subject}-{theme}", record.model_dump())
    write_record(ROOT / "benchmarks" / "results" / name, record)
    typer.echo(f"wrote benchmarks/results/{name}", err=True)


if __name__ == "__main__":
    run_script(main)
