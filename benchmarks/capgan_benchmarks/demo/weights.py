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
    from capgan_edge import zoo
    from capgan_edge.models.victims import victim_from_module
    from capgan_export.source import Source

    pair = zoo.load(name)
    identity = {"kind": "simple-resnet", "name": f"{name}'s simple-resnet"}
    victim = victim_from_module(pair.victim, identity, size_px=pair.size_px, labels=pair.labels)
    return Source(
        name=name,
        origin=f"{name}, packaged",
        purifier=pair.purifier,
        victim=victim,
        labels=pair.labels,
        size_px=pair.size_px,
        data=pair.data,
    )


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
