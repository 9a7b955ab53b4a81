"""A folder of few road signs, and two tiny victims of them: what a table's recipe needs, in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from capgan_benchmarks.paper.plan import PaperConfig
from capgan_edge import data
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs import load_signs
from capgan_edge.training.device import start_fabric
from capgan_edge.training.victim import VictimConfig, train_victim

NUM_CLASSES, NUM_TRAIN, NUM_TEST = 4, 40, 12


@pytest.fixture(scope="session")
def few_signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/<class>/*` and `test/<class>/*` of four classes."""
    root = tmp_path_factory.mktemp("signs")
    for split, num in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        drawn = load_signs(split, size_px=32, n=num * 20 // NUM_CLASSES)  # type: ignore[arg-type]
        kept = [index for index in range(len(drawn)) if drawn.labels_N[index] < NUM_CLASSES][:num]
        for index in kept:
            folder = root / split / f"class-{drawn.labels_N[index]}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn.images_NHWC[index]).save(folder / f"{index:04d}.png")
    return root


@pytest.fixture(scope="session")
def victim_runs(few_signs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of f and of f', by another seed."""
    train: ImageSet = data.load(few_signs, "train")
    config = VictimConfig(epochs=1, batch_size=8, units_per_stage=1, num_held_out=4, learning_rate=0.05)
    paths = (tmp_path_factory.mktemp("f") / "victim", tmp_path_factory.mktemp("g") / "surrogate")
    for seed, path in enumerate(paths):
        train_victim(replace(config, seed=seed), train, path, start_fabric("fp32"), source=few_signs)
    return paths


@pytest.fixture
def config(few_signs: Path, victim_runs: tuple[Path, Path], tmp_path: Path) -> PaperConfig:
    """One epoch for every defence, eight test images."""
    return PaperConfig(tables=("IV",), out=tmp_path / "paper", data=str(few_signs), epochs=1, batch_size=8, n=8,
                       victim=str(victim_runs[0]), surrogate=victim_runs[1])  # fmt: skip
