"""Reading and spoiling the state in the pointer file of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAST = ["--batch-size", "16", "--epochs", "1", "--precision", "fp32"]
"""Options of a run of one epoch."""


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    pointer = json.loads((run / "last.json").read_text())
    edit(pointer["state"])
    (run / "last.json").write_text(json.dumps(pointer))


def state_of(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((run / "last.json").read_text())["state"]
    return state


def make_unfinished(run: Path) -> None:
    """Let the run have one epoch to go, under a mark that says it is finished."""
    change(run, lambda state: state["config"].update(epochs=2))
