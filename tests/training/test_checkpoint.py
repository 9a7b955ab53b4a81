"""Checkpoints: a round trip, what stays after a failed write, and every bad one refused in one line."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from capgan_edge.errors import CapganError, CheckpointError, TrainingError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.training.checkpoint import (
    Checkpoint,
    best_percent_of,
    load_checkpoint,
    load_into,
    load_optimizer,
    load_tensors,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)


def write(path: Path, epoch: int = 1, *, is_best: bool = True, value: float = 0.5) -> None:
    path.mkdir(exist_ok=True)
    tensors = {"victim.w": torch.full((20, 30), value), "optimizer.0.step": torch.tensor(epoch)}
    checkpoint = Checkpoint(kind="victim", epoch=epoch, tensors=tensors, state={"best_percent": 10.0 * epoch})
    save_checkpoint(path, checkpoint, is_best=is_best)


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, 3)
    for path in (tmp_path, tmp_path / "last.json", tmp_path / "best.json"):
        checkpoint = load_checkpoint(path, "victim")
        assert (checkpoint.epoch, checkpoint.state) == (3, {"best_percent": 30.0})
        assert torch.equal(checkpoint.tensors["victim.w"], torch.full((20, 30), 0.5))
        assert best_percent_of(checkpoint) == 30.0


def test_last_and_best_stay_and_nothing_else_does(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    write(tmp_path, 3, is_best=False)
    (tmp_path / ".epoch-0004.safetensors.x1.tmp").write_bytes(b"of a killed process")
    write(tmp_path, 4, is_best=False)
    assert load_checkpoint(tmp_path, "victim").epoch == 4
    assert load_checkpoint(tmp_path / "best.json", "victim").epoch == 2
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"last.json", "best.json", "epoch-0002.safetensors", "epoch-0004.safetensors"}


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CapganError, match=r"No space left on device; nothing was changed there"):
        write(tmp_path, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load_checkpoint(tmp_path, "victim").epoch == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_never_replace_good_ones(tmp_path: Path, value: float) -> None:
    write(tmp_path, 1)
    with pytest.raises(TrainingError, match=r"finite weights after epoch 2.*victim\.w.*last good checkpoint"):
        write(tmp_path, 2, value=value)
    assert load_checkpoint(tmp_path, "victim").epoch == 1


class Bad(NamedTuple):
    name: str
    spoil: Callable[[Path], object]
    message: str


def pointer_with(**changes: Any) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        pointer = json.loads((path / "last.json").read_text())
        (path / "last.json").write_text(json.dumps(pointer | changes))

    return spoil


def tensors_at(file: Any, **more: Any) -> Callable[[Path], object]:
    return pointer_with(tensors={"file": file, "sha256": "0" * 64} | more)


def truncate(path: Path) -> None:
    tensors = path / "epoch-0001.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])


def change_a_byte(path: Path) -> None:
    tensors = path / "epoch-0001.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)


def put_a_pickle(path: Path) -> None:
    torch.save({"victim.w": torch.zeros(2)}, path / "epoch-0001.safetensors")


BAD = [
    Bad("missing pointer", lambda p: (p / "last.json").unlink(), "No such file"),
    Bad("missing tensors", lambda p: (p / "epoch-0001.safetensors").unlink(), "expected weights at .*No such file"),
    Bad("truncated tensors", truncate, "truncated or was changed"),
    Bad("changed byte", change_a_byte, "expected SHA-256"),
    Bad("pickle as tensors", put_a_pickle, r"got a pickle \(torch.save\)"),
    Bad("truncated pointer", lambda p: (p / "last.json").write_text('{"schema": 1, "ki'), "a part of it"),
    Bad("empty pointer", lambda p: (p / "last.json").write_bytes(b""), "a part of it"),
    Bad("binary pointer", lambda p: (p / "last.json").write_bytes(b"\xff\xfe\x00\xd8"), "something else"),
    Bad("pickle as pointer", lambda p: torch.save({}, p / "last.json"), r"got a pickle \(torch.save\)"),
    Bad("deep pointer", lambda p: (p / "last.json").write_text("[" * 100_000), "something else"),
    Bad("foreign JSON", lambda p: (p / "last.json").write_text('{"epoch": 3}'), "a checkpoint of capgan-edge"),
    Bad("list", lambda p: (p / "last.json").write_text("[1, 2]"), "a checkpoint of capgan-edge"),
    Bad("newer schema", pointer_with(schema=2), "expected schema 1, got 2; upgrade capgan-edge"),
    Bad("another kind", pointer_with(kind="purifier"), "victim, got one of a purifier; name the run of a victim"),
    Bad("tensors above", tensors_at("../other.safetensors"), r"got the path '\.\./other.*not followed"),
    Bad("tensors elsewhere", tensors_at("/etc/hostname.safetensors"), "got the path '/etc/hostname.*not followed"),
    Bad("tensors in a folder", tensors_at(".."), "not followed"),
    Bad("tensors with a NUL", tensors_at("a\0.safetensors"), "not followed"),
    Bad("tensors unnamed", tensors_at(None), "expected a file and its sha256"),
    Bad("tensors a list", pointer_with(tensors=["epoch-0001.safetensors"]), "expected a file and its sha256"),
    Bad("hash missing", tensors_at("epoch-0001.safetensors", sha256=None), "expected a file and its sha256"),
    Bad("epoch a word", pointer_with(epoch="three"), "a whole number of epochs"),
    Bad("state a list", pointer_with(state=[]), "a whole number of epochs and a state"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_checkpoint_is_refused_in_one_line(tmp_path: Path, bad: Bad) -> None:
    write(tmp_path, 1)
    bad.spoil(tmp_path)
    with pytest.raises(CheckpointError, match=bad.message) as caught:
        load_checkpoint(tmp_path, "victim")
    assert "\n" not in str(caught.value)


def test_a_tensor_file_is_not_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"expected a run's folder or its last\.json"):
        load_checkpoint(tmp_path / "epoch-0001.safetensors", "victim")


class Bomb:
    """Unpickling this would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_is_refused_and_never_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol))
    with pytest.raises(CheckpointError):
        load_tensors(path)
    with pytest.raises(CheckpointError):
        load_tensors(path, sha256=sha256_of_bytes(path.read_bytes()))
    assert not (tmp_path / "ran").exists()


def test_a_type_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F9_X", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        load_tensors(tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, tmp_path / "w.safetensors")
    tensors = load_tensors(tmp_path / "w.safetensors")
    load_into(nn.Linear(2, 3), tensors, "", "w.safetensors")
    for other, prefix in ((nn.Linear(2, 4), ""), (nn.Conv2d(2, 3, 3), ""), (nn.Linear(2, 3), "victim")):
        with pytest.raises(
            CheckpointError, match=f"w.safetensors: expected the weights of this {type(other).__name__}"
        ) as e:
            load_into(other, tensors, prefix, "w.safetensors")
        assert "\n" not in str(e.value)


def stepped_adam(module: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    module(torch.ones(1, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    return optimizer


def test_an_optimizer_comes_back_as_it_was() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = stepped_adam(module)
    live = optimizer_tensors("o", optimizer) | module_tensors("m", module)
    tensors = {name: tensor.clone() for name, tensor in live.items()}  # as a file would hold them
    twin = nn.Conv2d(3, 4, 3)
    load_into(twin, tensors, "m", "here")
    restored = torch.optim.Adam(twin.parameters(), 0.1)
    load_optimizer(restored, tensors, "o")
    for net, stepping in ((module, optimizer), (twin, restored)):
        stepping.zero_grad()
        net(torch.ones(1, 3, 8, 8)).sum().backward()
        stepping.step()
    assert torch.equal(twin.weight, module.weight)


def test_weights_without_the_optimizer_are_not_a_run_to_go_on_with() -> None:
    module = nn.Conv2d(3, 4, 3)
    optimizer = stepped_adam(module)
    with pytest.raises(CheckpointError, match="expected the state of the o to go on from, got weights alone"):
        load_optimizer(optimizer, module_tensors("m", module), "o")
    load_optimizer(optimizer, {}, "o", may_be_empty=True)
    assert optimizer_tensors("o", optimizer) == {}


@pytest.mark.parametrize("name", ["o.2.step", "o.x.step", "o..step"])
def test_the_state_of_a_parameter_that_is_not_there_is_refused(name: str) -> None:
    optimizer = stepped_adam(nn.Conv2d(3, 4, 3))
    with pytest.raises(CheckpointError, match="expected the state of 2 parameters"):
        load_optimizer(optimizer, {name: torch.tensor(1.0)}, "o")


def test_a_run_without_its_best_score_is_refused() -> None:
    with pytest.raises(CheckpointError, match="best_percent, got None"):
        best_percent_of(Checkpoint(kind="victim", epoch=1, tensors={}, state={}))
