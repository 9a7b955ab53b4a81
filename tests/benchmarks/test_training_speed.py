"""The plain loop computes the same losses as the one that trains; the command measures both and refuses the rest."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from capgan_benchmarks.plain_cap_gan import PlainCapGan
from capgan_edge.cli import GROUP, main
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.cap_gan import CapGan
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import start_fabric

PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]
INSTANCE = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3)
"""Normalises each image by itself, so that passes that are shared give what single ones give."""


def test_both_loops_have_the_same_losses() -> None:
    fabric, config = start_fabric("fp32"), CapGanConfig(ndf=4)
    torch.manual_seed(0)
    victim = SimpleResNet(4, units_per_stage=1).eval().requires_grad_(False)
    fast, plain = (kind(INSTANCE, config, victim, fabric) for kind in (CapGan, PlainCapGan))
    for name, network in fast.networks.items():
        plain.networks[name].load_state_dict(network.state_dict())
    pair = fast.pair(torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2]))
    wanted, held = fast.step(pair), plain.step(pair)
    assert wanted.keys() == held.keys()
    for name, value in wanted.items():
        assert torch.allclose(value, held[name], rtol=1e-3, atol=1e-5), name


def test_the_command_measures_both_loops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--batch-size", "4", "--rounds", "2", "--steps", "1", "--threads", "1"]
    assert main(["benchmark", "training", *options, "--out", str(tmp_path), "--json"], PARTS) == 0
    record = json.loads(capsys.readouterr().out)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == record
    (row,) = record["rows"]
    assert row["preset"] == "nano"
    fast, plain = (row["loops"][loop] for loop in ("fast", "plain"))
    assert plain["precision"] == "fp32"
    assert fast["macs_per_image"] == pytest.approx(plain["macs_per_image"], rel=0.02), "the same work"
    assert min(each["roof_percent"] for each in (fast, plain)) > 0
    assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    assert record["protocol"]["threads"] == 1


REFUSED = [
    (["--preset", "huge"], "a preset among"),
    (["--size", "34"], "multiple of 4"),
    (["--preset", "robust-nano"], "CAP-GAN's loop trains"),
    (["--preset", "hgd-nano"], "CAP-GAN's loop trains"),
]


@pytest.mark.parametrize(("option", "says"), REFUSED)
def test_what_cannot_be_trained_is_refused(option: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "training", *option], PARTS) == 1
    assert says in capsys.readouterr().err
