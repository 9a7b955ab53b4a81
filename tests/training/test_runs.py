"""Runs on the disk: finished or not, summed up, and before which victim."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from capgan_edge.errors import CapganError, CheckpointError, ConfigError
from capgan_edge.files import make_folder, sha256_of_bytes
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_edge.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from capgan_edge.training.runs import (
    check_same_victim,
    is_finished,
    mark_finished,
    mark_started,
    newest_finished,
    run_summary,
    victim_state,
)


def write(path: Path, epoch: int, percent: float, *, is_best: bool) -> None:
    checkpoint = Checkpoint(kind="victim", epoch=epoch, tensors={"w": torch.zeros(1)},
                            state={"row": {"held_out_percent": percent}})  # fmt: skip
    save_checkpoint(path, checkpoint, is_best=is_best)


def test_a_run_is_finished_from_its_last_epoch_until_another_starts(tmp_path: Path) -> None:
    write(tmp_path, 1, 50.0, is_best=True)
    assert not is_finished(tmp_path)
    mark_finished(tmp_path, "victim", 1)
    assert is_finished(tmp_path)
    assert newest_finished(tmp_path.parent, "victim") == tmp_path
    mark_started(tmp_path)
    assert not is_finished(tmp_path)
    mark_started(tmp_path)


def test_a_run_that_was_finished_before_keeps_its_age(tmp_path: Path) -> None:
    mark_finished(tmp_path, "victim", 1)
    os.utime(tmp_path / "finished.json", (1000, 1000))
    mark_finished(tmp_path, "victim", 1)
    assert (tmp_path / "finished.json").stat().st_mtime == 1000


def test_a_mark_without_its_checkpoint_is_no_finished_run(tmp_path: Path) -> None:
    mark_finished(tmp_path, "victim", 1)
    assert not is_finished(tmp_path)
    assert newest_finished(tmp_path, "victim") is None


def test_a_summary_names_the_folder_the_epochs_and_both_rows(tmp_path: Path) -> None:
    assert run_summary(tmp_path) == {
        "run": str(tmp_path), "is_finished": False, "epochs": 0, "last": None, "best": None
    }  # fmt: skip
    write(tmp_path, 1, 60.0, is_best=True)
    write(tmp_path, 2, 50.0, is_best=False)
    mark_finished(tmp_path, "victim", 2)
    assert run_summary(tmp_path) == {
        "run": str(tmp_path), "is_finished": True, "epochs": 2, "last": {"epoch": 2, "held_out_percent": 50.0},
        "best": {"epoch": 1, "held_out_percent": 60.0},
    }  # fmt: skip


def test_a_run_killed_between_the_pointers_never_leaves_last_ahead_of_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, 50.0, is_best=True)
    fsync, calls = os.fsync, iter(range(10))

    def killed(descriptor: int) -> None:
        if next(calls) == 2:  # the tensors and one pointer are on the disk
            raise KeyboardInterrupt
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2, 60.0, is_best=True)
    assert load_checkpoint(tmp_path / "best.json", "victim").epoch == 2
    assert load_checkpoint(tmp_path, "victim").epoch == 1  # resumed, it repeats epoch 2 and finds it best again


def test_a_victims_identity_is_of_its_weights_and_that_of_export() -> None:
    torch.manual_seed(0)
    victim = SimpleResNet(4, units_per_stage=1)
    state = victim_state(victim)
    assert (state["kind"], state["units_per_stage"], state["num_classes"]) == ("simple-resnet", 1, 4)
    exported = victim_from_module(copy.deepcopy(victim), {"kind": "simple-resnet", "name": "x"})
    assert state["sha256"] == exported.identity["sha256"]
    laid_out = copy.deepcopy(victim).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert victim_state(laid_out) == state, "the layout in memory is not the victim's"
    with torch.no_grad():
        victim.head.bias[0] += 1
    assert victim_state(victim)["sha256"] != state["sha256"]


OWN = {"kind": "simple-resnet", "units_per_stage": 1, "num_classes": 4, "sha256": "a" * 64}


@pytest.mark.parametrize("stored", [OWN, {"kind": "simple-resnet"}, {k: v for k, v in OWN.items() if k != "sha256"}])
def test_the_same_victim_is_taken_and_what_was_not_stored_is_not_compared(stored: dict[str, Any]) -> None:
    check_same_victim(stored, OWN, Path("run"))


@pytest.mark.parametrize("changed", [{"sha256": "b" * 64}, {"kind": "onnx"}, {"num_classes": 5}], ids=str)
def test_another_victim_is_refused(changed: dict[str, Any]) -> None:
    message = r"expected the victim that run was started with \(.*\), got another \(.*--victim"
    with pytest.raises(ConfigError, match=message) as caught:
        check_same_victim(OWN, OWN | changed, Path("run"))
    assert str(next(iter(changed.values())))[:12] in str(caught.value)


@pytest.mark.parametrize("stored", [None, [], {}, "simple-resnet"], ids=str)
def test_a_state_without_a_victim_is_refused(stored: Any) -> None:
    with pytest.raises(CheckpointError, match="expected the identity of a victim"):
        check_same_victim(stored, OWN, Path("run"))


def test_a_folder_is_made_with_its_parents_and_taken_where_it_is(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("name", "why"), [("file", "a file is there"), ("file/run", "Not a directory"), ("a\0b", "null")]
)
def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CapganError, match=f"expected a folder to write to at .*, but: .*{why}.*; name another"):
        make_folder(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("needs a user who is not root")
        with pytest.raises(CapganError, match="it may not be written"):
            make_folder(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_the_hash_is_of_the_safetensors_bytes() -> None:
    from safetensors.torch import save

    victim = SimpleResNet(4, units_per_stage=1)
    assert victim_state(victim)["sha256"] == sha256_of_bytes(save(dict(victim.state_dict())))
    json.dumps(victim_state(victim))
