"""The modules here that are run with `python -m`: their errors end as a command's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from capgan_edge.errors import CapganError


def run_script(main: Callable[..., Any]) -> None:
    """Run `main` on the command line's arguments; an error of ours is one line and its exit code."""
    try:
        typer.run(main)
    except CapganError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
