"""`capgan-edge demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; an earlier demo's is replaced.")] = Path(
        "demo"
    ),
    n: Annotated[int, typer.Option(min=40, help="Road signs to draw and attack (a count).")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawing and of the attacks.")] = 0,
    train: Annotated[bool, typer.Option("--train", help="Make the weights from nothing first (minutes).")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all that are there).")] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Show the report in the browser at the end.")] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object, for machines.")] = False,
) -> None:
    """Attack road signs, purify them with an exported ONNX file, and write a report; offline."""
    from capgan_benchmarks.demo.config import DemoConfig
    from capgan_benchmarks.demo.session import run_command

    config = DemoConfig(n=n, seed=seed, is_trained=train, threads=threads)
    report_path = run_command(config, out, is_json=is_json)
    if is_opened:
        typer.launch(str(report_path))
