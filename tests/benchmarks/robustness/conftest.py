"""signs-nano as a bundle with a graph in FP32 and one in INT8, and a bundle whose torch pair is nowhere."""

from __future__ import annotations

import copy
import io
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from made_once import exported_signs, made_once
from rich.console import Console

from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.running import Finished, prepare, run_robustness
from capgan_benchmarks.robustness.subject import Subject, find_subject
from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs.dataset import load_signs
from capgan_export.bundling import export_pair
from capgan_export.parity import ParityConfig
from capgan_export.source import find_source

RunIt = Callable[..., Finished]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """signs-nano in FP32 and INT8, as `export` and `calibrate` make them."""

    def make(folder: Path) -> None:
        out = shutil.copytree(exported_signs(tmp_path_factory).path, folder / "signs")
        calibration = EntryPoint("calibration", "capgan_calibration.command:app", GROUP)
        few = ["--images", "signs", "--n", "40", "--num-check", "40", "--mix", "clean"]
        assert main(["calibrate", str(out), *few, "--json"], [calibration]) == 0

    return made_once(tmp_path_factory, "shipped", make) / "signs"


@pytest.fixture(scope="session")
def subject(shipped: Path) -> Iterator[Subject]:
    """The bundle, opened with its torch pair."""
    with find_subject(str(shipped)) as held:
        yield held


@pytest.fixture(scope="session")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of signs-nano's classifier behind another purifier, which is neither in the zoo nor under ./runs."""

    def make(folder: Path) -> None:
        source = find_source("signs-nano")
        purifier = copy.deepcopy(source.purifier)
        with torch.no_grad():
            next(purifier.parameters()).mul_(0.99)
        export_pair(purifier, source.victim, labels=source.labels, size_px=source.size_px, name="foreign",
                    frames=load_signs("train", size_px=32, n=43), out=folder / "foreign",
                    parity=ParityConfig(num_frames=8, batches=(1, 7)))  # fmt: skip

    return made_once(tmp_path_factory, "lone", make) / "foreign"


@pytest.fixture(scope="session")
def lone_subject(lone: Path) -> Iterator[Subject]:
    """The bundle without its torch pair: only its artifacts answer."""
    with find_subject(str(lone), data="signs") as held:
        yield held


@pytest.fixture
def said() -> io.StringIO:
    """What a benchmark says while it runs."""
    return io.StringIO()


@pytest.fixture
def run_it(subject: Subject, tmp_path: Path, said: io.StringIO) -> RunIt:
    """Run a benchmark on the opened bundle, with a cache of the test's own."""

    def run(of: Subject = subject, **options: object) -> Finished:
        options = {"subject": "signs", "cache": tmp_path / "cache", "n": 8, "batch": 4, **options}
        config = RobustnessConfig(**options)  # type: ignore[arg-type]
        return run_robustness(config, of, prepare(config, of), Console(file=said, width=400))

    return run
