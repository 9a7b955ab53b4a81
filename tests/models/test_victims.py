"""Victims that users bring: runs and factories load to the same logits; every bad spec is refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from brought import classifier, images
from safetensors.torch import save_file

from capgan_edge.errors import ArtifactError, CapganError, CheckpointError, ConfigError
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import load_victim
from capgan_edge.training.checkpoint import Checkpoint, module_tensors, save_checkpoint

LABELS = ("stop", "yield", "limit")


def write_run(path: Path, labels: tuple[str, ...] = LABELS) -> SimpleResNet:
    torch.manual_seed(0)
    victim = SimpleResNet(3, units_per_stage=1).eval()
    state = {"config": {"units_per_stage": 1}, "class_names": list(labels), "size_px": [32, 32], "data": "signs"}
    tensors = module_tensors("victim", victim)
    save_checkpoint(path, Checkpoint(kind="victim", epoch=1, tensors=tensors, state=state), is_best=True)
    return victim


def test_a_run_gives_its_victim_with_labels_and_size(tmp_path: Path) -> None:
    wanted = write_run(tmp_path / "run")
    for spec in (tmp_path / "run", tmp_path / "run" / "best.json"):
        victim = load_victim(str(spec))
        assert torch.equal(victim.torch_module()(images()), wanted(images()))
        assert (victim.labels, victim.size_px, victim.num_classes) == (LABELS, (32, 32), 3)
        assert victim.identity["name"] == "run"
        assert not any(p.requires_grad for p in victim.torch_module().parameters())


def test_a_run_of_another_size_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="victim's size, 32x32 px, got 64x64"):
        load_victim(tmp_path / "run", size_px=(64, 64))


def test_labels_that_are_not_the_victims_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    victim = load_victim(tmp_path / "run")
    with pytest.raises(ConfigError, match="each of the victim's 3 classes, got 2"):
        victim.check_fits(("stop", "yield"), (32, 32))
    with pytest.raises(ConfigError, match=r"got 'yield' where it has 'stop' \(class 0\)"):
        victim.check_fits(("yield", "stop", "limit"), (32, 32))


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop_of_models.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def good(): return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(),"
        " nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
        "def broken(): raise RuntimeError('no\\nweights')\n"
        "def number(): return 3\n"
        "def spatial(): return nn.Conv2d(3, 4, 3)\n"
        "def large(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "shop_of_models", raising=False)
    return tmp_path


def test_a_factory_in_the_working_directory_takes_its_state(factories: Path) -> None:
    wanted = classifier()
    save_file(wanted.state_dict(), factories / "weights.safetensors")
    victim = load_victim("shop_of_models:good", state=factories / "weights.safetensors")
    assert torch.equal(victim.torch_module()(images()), wanted(images()))
    assert victim.identity["parameters"] == sum(p.numel() for p in wanted.parameters())


class Bad(NamedTuple):
    spec: str
    says: str


@pytest.mark.parametrize(
    "case",
    [
        Bad("shop_of_models:broken", "RuntimeError: no weights"),
        Bad("shop_of_models:number", "return a torch.nn.Module, got int"),
        Bad("shop_of_models:missing", "no attribute 'missing'"),
        Bad("no_such_module:f", "No module named"),
        Bad("shop_of_models:spatial", r"expected float32 logits \[3, K\]"),
        Bad("shop_of_models:large", "images .* at 32x32 px"),
        Bad("nowhere.onnx", "got nothing there"),
    ],
    ids=lambda case: case.spec,
)
def test_a_bad_spec_is_one_line_that_says_why(case: Bad, factories: Path) -> None:
    with pytest.raises(CapganError, match=case.says) as caught:
        load_victim(case.spec)
    assert "\n" not in str(caught.value)


def test_a_state_of_another_network_is_refused(factories: Path) -> None:
    save_file({"1.weight": torch.zeros(3)}, factories / "other.safetensors")
    with pytest.raises(CheckpointError, match="expected the weights of this Sequential"):
        load_victim("shop_of_models:good", state=factories / "other.safetensors")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "weights.bin", "x.safetensors", "x.txt"])
def test_a_pickle_or_a_foreign_file_is_refused(name: str, tmp_path: Path) -> None:
    torch.save(classifier().state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"got (a pickle|weights alone|a file of another kind)"):
        load_victim(tmp_path / name)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 truncated"], ids=["empty", "foreign", "truncated"])
def test_a_broken_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    for name in ("v.pt2", "v.onnx"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises((CheckpointError, ArtifactError)) as caught:
            load_victim(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("units", "num_classes"), [(10**9, 3), ("5", 3), (True, 3), (0, 3), (1, 1)], ids=str)
def test_a_run_that_asks_for_an_absurd_network_is_refused_before_it_is_built(
    units: object, num_classes: int, tmp_path: Path
) -> None:
    write_run(tmp_path / "run", LABELS[:num_classes])
    pointer = json.loads((tmp_path / "run" / "last.json").read_text())
    pointer["state"]["config"]["units_per_stage"] = units
    (tmp_path / "run" / "last.json").write_text(json.dumps(pointer))
    with pytest.raises(CheckpointError, match="expected 1 to 64 units a stage and 2 to 1000000 classes"):
        load_victim(tmp_path / "run")


def test_victims_of_every_form_load_without_the_training_code(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    code = f"""
import sys
sys.modules["capgan_edge.training"] = None
from capgan_edge.models.victims import load_victim
print(load_victim({str(tmp_path / "run")!r}).labels)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == f"{LABELS}\n", done.stderr
