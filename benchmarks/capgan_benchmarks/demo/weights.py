"""The pair that the demo runs on: packaged, or made from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from capgan_edge.errors import MissingDependencyError

if TYPE_CHECKING:
    from capgan_export.source import Source

RUNS = Path("runs")


def packaged_pair(name: str) -> Source:
    """Return a packaged pair of the zoo, whatever lies in the working directory under that name."""
    from capgan_export.source import packaged_source

    return packaged_source(name, origin=f"{name}, packaged")


def trained_pair(name: str, run_path: Path) -> Source:
    """Train the recipe `name` in `run_path`, or go on with it where it was interrupted, and return the pair."""
    try:
        from capgan_edge.training.recipes import train_recipe
    except ImportError as error:
        raise MissingDependencyError(error.name or "torch", "training", "train") from error
    from capgan_export.source import find_source

    train_recipe(name, run_path, is_resumed=run_path.is_dir())
    return find_source(str(run_path / "purifier"))


def next_run_path(name: str, runs: Path = RUNS) -> Path:
    """Return the folder of an interrupted run of the demo, to go on with, or else of a new one."""
    from capgan_edge.training.runs import is_finished

    number = 1
    while is_finished(path := runs / f"demo-{name}-{number}" / "purifier"):
        number += 1
    return path.parent
