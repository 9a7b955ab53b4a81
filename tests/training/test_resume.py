"""A run that stops and goes on is, bit for bit, the run that never stopped; for both loops."""

from __future__ import annotations

import csv
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric
from PIL import Image

from capgan_edge.errors import CapganError, CheckpointError, TrainingError
from capgan_edge.training.checkpoint import load_checkpoint
from capgan_edge.training.device import start_fabric

Run = Callable[..., object]
Interrupt = Callable[[Fabric, int], None]
CLOCKED = ("images_per_s", "seconds")
STEPS = 3  # an epoch of 48 images in batches of 16


def state_of(path: Path) -> dict[str, object]:
    """Return what `last.json` says, less the two figures that depend on the clock."""
    pointer: dict[str, Any] = json.loads((path / "last.json").read_text())
    for clocked in CLOCKED:
        assert pointer["state"]["row"].pop(clocked) > 0
    return pointer


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in CLOCKED} for row in rows]


IN_THIRD_EPOCH = 2 * STEPS + 1  # one backward a step in the victim's loop and in semantic epochs
IN_FOURTH_EPOCH_OF_A_PURIFIER = 4 * STEPS + 1  # and two in the third and fourth: the discriminators' too


def stop(train: Run, path: Path, interrupt: Interrupt, call: int = IN_THIRD_EPOCH) -> None:
    fabric = start_fabric("fp32")
    interrupt(fabric, call)
    with pytest.raises(KeyboardInterrupt):
        train(path, fabric)


def test_two_epochs_and_two_resumed_equal_four_bit_for_bit(
    train: Run, kind: str, tmp_path: Path, fabric: Fabric, interrupt: Interrupt
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(straight, fabric)
    has_judged = kind == "paper-like purifier"  # its discriminators have made steps when it is stopped
    stop(train, stopped, interrupt, IN_FOURTH_EPOCH_OF_A_PURIFIER if has_judged else IN_THIRD_EPOCH)
    assert load_checkpoint(stopped, "victim" if kind == "victim" else "purifier").epoch == (3 if has_judged else 2)
    assert not (stopped / "finished.json").exists()
    train(stopped, start_fabric("fp32"), is_resumed=True)

    assert state_of(stopped) == state_of(straight)  # names the tensors' SHA-256: weights and optimizers alike
    assert rows_of(stopped) == rows_of(straight)
    assert [row["epoch"] for row in rows_of(stopped)] == ["1", "2", "3", "4"]
    names = sorted(path.name for path in straight.glob("epoch-*"))
    assert names == sorted(path.name for path in stopped.glob("epoch-*"))
    assert all((straight / name).read_bytes() == (stopped / name).read_bytes() for name in names)
    assert (straight / "finished.json").exists()
    assert (stopped / "finished.json").exists()
    if kind != "victim":
        for name in ("losses.png", "samples-0004.png"):
            with Image.open(straight / name) as image:
                image.verify()
                assert image.format == "PNG"
                assert min(image.size) > 300


def test_a_rate_that_explodes_stops_the_run_and_keeps_the_last_good_checkpoint(
    train: Run, tmp_path: Path, interrupt: Interrupt
) -> None:
    stop(train, tmp_path, interrupt)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    with pytest.raises(TrainingError, match=r"last good checkpoint"):
        train(tmp_path, start_fabric("fp32"), is_resumed=True, rate=1e30)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == before
    train(tmp_path, start_fabric("fp32"), is_resumed=True)  # and goes on from there


def test_a_full_disk_stops_the_run_and_keeps_the_last_good_checkpoint(
    train: Run, kind: str, tmp_path: Path, interrupt: Interrupt
) -> None:
    stop(train, tmp_path, interrupt)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in (".json", ".safetensors")}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # writes beyond this fail as on a full disk
    try:
        with pytest.raises(CapganError, match=r"expected to write .*free some space"):
            train(tmp_path, start_fabric("fp32"), is_resumed=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content
    assert not list(tmp_path.glob(".*.tmp"))
    assert load_checkpoint(tmp_path, "victim" if kind == "victim" else "purifier").epoch == 2


def test_there_is_nothing_to_resume_in_an_empty_folder(train: Run, tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint at .*train first"):
        train(tmp_path / "none", fabric, is_resumed=True)
