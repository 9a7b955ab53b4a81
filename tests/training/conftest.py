"""Runs small enough for a test: 64 images, ngf 4, one unit a stage, FP32 on one process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from pointers import FAST

from capgan_edge.cli import main
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs import load_signs
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.runs import victim_state
from capgan_edge.training.victim import VictimConfig, train_victim

Run = Callable[..., object]
EPOCHS, STEPS = 4, 3
"""Of every run here; the last two of a purifier's epochs are the whole method."""
VICTIM_CONFIG = VictimConfig(epochs=EPOCHS, batch_size=16, units_per_stage=1, num_held_out=16, small_crop_epochs=1,
                             small_crop_px=16, learning_rate=0.05)  # fmt: skip
GAN_CONFIG = CapGanConfig(epochs=EPOCHS, semantic_epochs=2, batch_size=16, learning_rate=1e-3, ndf=4, num_held_out=16,
                          num_watched=8, figure_every=4)  # fmt: skip
FOLDABLE = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros", output="residual",
                          has_skips=True)  # fmt: skip
PAPER_LIKE = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, attention="gap+gmp")


@pytest.fixture
def fabric() -> Fabric:
    """A Fabric of its own for each test, so that a test may break it."""
    return start_fabric("fp32")


@pytest.fixture(scope="session")
def tiny_victim() -> SimpleResNet:
    """A frozen victim with random weights."""
    torch.manual_seed(1)
    return SimpleResNet(20, units_per_stage=1).eval().requires_grad_(False)


@pytest.fixture(params=["victim", "purifier", "paper-like purifier"])
def kind(request: pytest.FixtureRequest) -> str:
    """What a test of both loops trains."""
    name: str = request.param
    return name


@pytest.fixture
def train(kind: str, signs: ImageSet, tiny_victim: SimpleResNet) -> Run:
    """Return a function that trains `kind` into a folder; `rate` replaces the learning rate."""

    def run(path: Path, fabric: Fabric, *, is_resumed: bool = False, rate: float | None = None) -> object:
        from dataclasses import replace

        if kind == "victim":
            victim_config = VICTIM_CONFIG if rate is None else replace(VICTIM_CONFIG, learning_rate=rate)
            return train_victim(victim_config, signs, path, fabric, is_resumed=is_resumed, source="signs")
        config = GAN_CONFIG if rate is None else replace(GAN_CONFIG, learning_rate=rate)
        shape = PAPER_LIKE if kind.startswith("paper") else FOLDABLE
        identity = victim_state(tiny_victim)
        started = PurifierRun(config, shape, tiny_victim, identity, signs, path, fabric, source="signs")
        if is_resumed:
            started.resume()
        return started.run()

    return run


@pytest.fixture
def interrupt() -> Callable[[Fabric, int], None]:
    """Return a function that makes a Fabric raise KeyboardInterrupt in the backward pass of a step (from 0)."""

    def install(fabric: Fabric, call: int) -> None:
        backward, calls = fabric.backward, iter(range(10**6))

        def counted(loss: torch.Tensor) -> None:
            if next(calls) == call:
                raise KeyboardInterrupt
            backward(loss)

        fabric.backward = counted  # type: ignore[method-assign, assignment]

    return install


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of signs, 20 images each to train on."""
    root = tmp_path_factory.mktemp("data") / "photos"
    signs = load_signs("train", n=400)
    for label in range(2):
        for split in ("train", "test"):
            folder = root / split / signs.class_names[label]
            folder.mkdir(parents=True)
            for i, image_HWC in enumerate(signs.images_NHWC[signs.labels_N == label]):
                Image.fromarray(image_HWC).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture(scope="session")
def pair_path(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished runs `victim` and `purifier`."""
    root = tmp_path_factory.mktemp("runs")
    assert main(["train", "victim", "--data", str(photos), "-o", str(root / "victim"), *FAST]) == 0
    arguments = ["--data", str(photos), "--victim", str(root / "victim"), "--semantic-epochs", "0", *FAST]
    assert main(["train", "purifier", "-o", str(root / "purifier"), *arguments]) == 0
    return root


@pytest.fixture
def runs(pair_path: Path, tmp_path: Path) -> Path:
    """A copy of them to spoil."""
    return Path(shutil.copytree(pair_path, tmp_path / "runs"))
