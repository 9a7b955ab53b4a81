"""Settings in a checkpoint may come from anybody: none is built from, at any size, before it is checked."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CheckpointError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.checkpoint import Checkpoint, module_tensors, save_checkpoint
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import LossWeights
from capgan_edge.training.runs import load_purifier_run, load_victim_run, victim_state
from capgan_edge.training.stored import check_fits, settings_from
from capgan_edge.training.victim import VictimConfig

SHAPE = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros")


def test_settings_come_back_as_they_were_stored() -> None:
    gan = CapGanConfig(weights=LossWeights(alpha=0.6, cycle=10), max_gradient_norm=2.5, schedule="steps", seed=3)
    for settings in (gan, CapGanConfig(), VictimConfig(epochs=3, is_mirrored=False), SHAPE):
        stored = json.loads(json.dumps(asdict(settings)))
        assert settings_from(type(settings), stored, "run") == settings
        assert settings_from(type(settings), {}, "run") == type(settings)()


@pytest.mark.parametrize(
    "settings",
    [None, [], "x", {"epochs": "3"}, {"epochs": True}, {"epochs": 2.5}, {"epochs": 10**12}, {"epochs": 0},
     {"ndf": 4097}, {"learning_rate": "fast"}, {"learning_rate": float("nan")}, {"learning_rate": 10**400},
     {"schedule": ["steps"]}, {"schedule": "linear"}, {"weights": 3}, {"weights": {"alpha": None}},
     {"weights": {"beta": 1.0}}, {"is_mirrored": 1}, {"max_gradient_norm": "none"}, {"seed": 2**63}, {"seed": -1},
     {"no_such": 1}],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_other_settings_are_refused_in_one_line(settings: Any) -> None:
    with pytest.raises(CheckpointError, match=r"^run: expected .*got.*train again") as caught:
        settings_from(CapGanConfig, settings, "run")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_settings_that_ask_for_more_memory_than_there_is_are_refused_without_it() -> None:
    huge = PurifierConfig(ngf=4096, num_blocks=64)  # a terabyte
    with pytest.raises(CheckpointError, match=r"expected the weights of the network that its settings name"):
        check_fits(lambda: Purifier(huge), {}, "t_ac", "run")


def test_checking_leaves_the_random_numbers_to_come() -> None:
    tensors = module_tensors("t_ac", Purifier(SHAPE))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check_fits(lambda: Purifier(SHAPE), tensors, "t_ac", "run")
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """A purifier's run and, under `victim`, a victim's."""
    victim = SimpleResNet(4, units_per_stage=1)
    tensors = module_tensors("t_ac", Purifier(SHAPE)) | module_tensors("victim", victim)
    state = {"purifier": asdict(SHAPE), "victim": victim_state(victim)}
    save_checkpoint(tmp_path, Checkpoint(kind="purifier", epoch=1, tensors=tensors, state=state), is_best=True)
    state = {"config": {"units_per_stage": 1}, "class_names": list("abcd")}
    checkpoint = Checkpoint(kind="victim", epoch=1, tensors=module_tensors("victim", victim), state=state)
    save_checkpoint(tmp_path / "victim", checkpoint, is_best=True)
    return tmp_path


def change(pointer_path: Path, where: str, value: Any) -> None:
    pointer = json.loads(pointer_path.read_text())
    *above, last = where.split(".")
    inner = pointer["state"]
    for key in above:
        inner = inner[key]
    inner[last] = value
    pointer_path.write_text(json.dumps(pointer))


def test_an_unchanged_run_loads(run_path: Path) -> None:
    _, victim, _ = load_purifier_run(run_path)
    assert victim is not None
    assert load_victim_run(run_path / "victim").num_classes == 4


@pytest.mark.parametrize(
    ("where", "value"),
    [("purifier", 3), ("purifier", {}), ("purifier.ngf", 10**9), ("purifier.ngf", 4096), ("purifier.ngf", "4"),
     ("purifier.ngf", True), ("purifier.ngf", 8), ("purifier.num_blocks", 10**6), ("purifier.num_blocks", 64),
     ("purifier.end_kernel_px", 4095), ("purifier.norm", "adalin"), ("purifier.norm", ["batch"]),
     ("purifier.colour", 1), ("victim", None), ("victim", {}), ("victim.units_per_stage", 10**9),
     ("victim.units_per_stage", 0), ("victim.units_per_stage", 2.0), ("victim.units_per_stage", 64),
     ("victim.num_classes", 10**12), ("victim.num_classes", 1), ("victim.num_classes", None),
     ("victim.num_classes", 10**6)],
)  # fmt: skip
def test_a_purifiers_run_with_hostile_settings_is_refused_at_once(run_path: Path, where: str, value: Any) -> None:
    change(run_path / "last.json", where, value)
    started_s = time.monotonic()
    with pytest.raises(CheckpointError, match=r"expected .*got.*train again") as caught:
        load_purifier_run(run_path)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize(
    ("where", "value"),
    [("config", []), ("config", {}), ("config.units_per_stage", 10**9), ("config.units_per_stage", "1"),
     ("class_names", 4), ("class_names", ["a"]), ("class_names", list("abcde"))],
)  # fmt: skip
def test_a_victims_run_with_hostile_settings_is_refused(run_path: Path, where: str, value: Any) -> None:
    change(run_path / "victim" / "last.json", where, value)
    with pytest.raises(CheckpointError, match=r"expected .*got.*train again"):
        load_victim_run(run_path / "victim")


def test_nothing_of_a_run_that_trained_is_refused(signs: ImageSet, tmp_path: Path, fabric: Fabric) -> None:
    from capgan_edge.training.victim import train_victim

    config = VictimConfig(epochs=1, batch_size=16, units_per_stage=1, num_held_out=16)
    victim = train_victim(config, signs, tmp_path, fabric)
    loaded = load_victim_run(tmp_path)
    assert victim_state(loaded) == victim_state(victim)
