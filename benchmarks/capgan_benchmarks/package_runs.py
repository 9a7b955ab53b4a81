"""Lay what is packaged on the disk as the finished runs that made it, so that a recipe goes on from there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.training.recipes import Recipe


def kept(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the card of the package as it stands."""
    from capgan_edge import zoo
    from capgan_edge.training.checkpoint import load_tensors

    card = zoo.card(name)
    return load_tensors(zoo.FOLDER / name / zoo.WEIGHTS, sha256=card["weights_sha256"]), card


def put_victim(name: str, run_path: Path, recipe: Recipe) -> None:
    """Lay the packaged victim where its recipe's run would be, finished, with the log that the card kept."""
    from capgan_edge.training.checkpoint import Checkpoint, save_checkpoint
    from capgan_edge.training.runs import is_finished, mark_finished

    if is_finished(run_path):
        return
    make_folder(run_path)
    tensors, card = kept(name)
    facts = card["training"]["victim"]
    state = {"config": card["recipe"]["victim"], "class_names": card["labels"], "data": recipe.data,
             "source": recipe.data,
             "size_px": card["size_px"], "row": facts["log"][-1]}  # fmt: skip
    victim = {key: tensor for key, tensor in tensors.items() if key.split(".")[0] == "victim"}
    save_checkpoint(run_path, Checkpoint(kind="victim", epoch=facts["epochs"], tensors=victim, state=state),
                    is_best=True)  # fmt: skip
    _write_log(run_path, facts["log"])
    mark_finished(run_path, "victim", facts["epochs"])


def put_first(name: str, run_path: Path, recipe: Recipe) -> None:
    """Lay the packaged purifier where the recipe's first run would be, finished at the epoch that was packaged.

    Raises:
        ConfigError: the package is not what the first run of the recipe makes.
    """
    from capgan_edge.training.checkpoint import Checkpoint, save_checkpoint
    from capgan_edge.training.robust_config import RobustConfig
    from capgan_edge.training.robust_stages import stage_at
    from capgan_edge.training.runs import is_finished, mark_finished
    from capgan_edge.training.stored import settings_from

    if is_finished(run_path):
        return
    tensors, card = kept(name)
    made_by, facts = card["recipe"], card["training"]["purifier"]
    first = recipe.first
    if first is None:
        raise ConfigError(f"expected a recipe with a first run for --keep-first, got {name}'s, which has none; leave "
                          "it out")  # fmt: skip
    is_its = not made_by.get("first") and made_by["preset"] == first.preset
    if not is_its or settings_from(RobustConfig, made_by["purifier"], name) != first.purifier:
        raise ConfigError(
            f"expected a package that the first run of the recipe {name} made, got one of other settings; leave "
            "--keep-first out: the first run is then trained too"
        )
    make_folder(run_path)
    row = facts["log"][card["epoch"] - 1]
    state = {"mode": "robust", "config": made_by["purifier"], "purifier": card["purifier"], "victim": card["victim"],
             "class_names": card["labels"], "size_px": card["size_px"], "data": card["data"], "source": card["data"],
             "best_percent": row["pgd10_percent"], "row": row, "attack_steps": int(row.get("attack_steps", 0)),
             "history": [], "stage": stage_at(first.purifier, card["epoch"] - 1).name}  # fmt: skip
    save_checkpoint(run_path, Checkpoint(kind="purifier", epoch=card["epoch"], tensors=tensors, state=state),
                    is_best=True)  # fmt: skip
    _write_log(run_path, facts["log"])
    mark_finished(run_path, "purifier", facts["epochs"])


def _write_log(run_path: Path, rows: list[dict[str, float]]) -> None:
    with (run_path / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
