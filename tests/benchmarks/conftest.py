"""One run of the demo on tiny weights, through the real exporter and ONNX Runtime, for all tests that only read it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from made_once import made_once
from rich.console import Console
from tiny_signs import Run, tiny_source, train_tiny

from capgan_benchmarks.demo.config import DemoConfig
from capgan_benchmarks.demo.session import run
from capgan_benchmarks.demo.terminal import Narrator
from capgan_benchmarks.latency.in_turn import LatencyConfig
from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.parity import ParityConfig
from capgan_export.source import Source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return tiny_source(made_once(tmp_path_factory, "tiny-signs", train_tiny))


@pytest.fixture(scope="session")
def tiny_bundle(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pair as a bundle in FP32; tests only read it."""

    def make(folder: Path) -> None:
        frames = load_signs("test", size_px=source.size_px[0], n=40)
        export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px, frames=frames,
                    out=folder / "bundle", name=source.name, parity=ParityConfig(num_frames=40))  # fmt: skip

    return Bundle.open(made_once(tmp_path_factory, "tiny", make) / "bundle")


@pytest.fixture(scope="session")
def finished(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out, stream = tmp_path_factory.mktemp("demo") / "demo", io.StringIO()
    narrator = Narrator(Console(file=stream, width=160))
    config = DemoConfig(n=60, num_end_to_end=20, seed=3, threads=1, latency=LatencyConfig(num_warm_up=1, num_rounds=10))
    findings = run(config, source, out, narrator, started_s=time.monotonic())
    narrator.conclude(findings, str(out / "report.html"))
    return Run(out, findings, stream.getvalue())
