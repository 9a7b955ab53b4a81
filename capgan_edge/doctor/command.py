"""The command `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def doctor(
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Give up on a library that takes longer (seconds).")] = 60.0,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Say what this machine can do, what is missing, and how to get it. Nothing is downloaded or changed."""
    from rich.console import Console

    from capgan_edge.doctor.examination import examine
    from capgan_edge.doctor.printing import json_from_report, print_report

    screen = Console(stderr=True)
    with screen.status("looking at this machine") if screen.is_terminal and not is_json else screen:
        report = examine(timeout_s=timeout_s)
    if is_json:
        typer.echo(json_from_report(report))
    else:
        print_report(report, Console())
