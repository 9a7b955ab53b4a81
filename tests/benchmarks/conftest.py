"""One run of the demo on tiny weights, through the real exporter and ONNX Runtime, for all tests that only read it."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from tiny_signs import Run, tiny_source

from capgan_benchmarks.demo.config import DemoConfig
from capgan_benchmarks.demo.session import run
from capgan_benchmarks.demo.terminal import Narrator
from capgan_benchmarks.latency.in_turn import LatencyConfig
from capgan_export.source import Source


@pytest.fixture(scope="session")
def source() -> Source:
    return tiny_source()


@pytest.fixture(scope="session")
def finished(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out, stream = tmp_path_factory.mktemp("demo") / "demo", io.StringIO()
    narrator = Narrator(Console(file=stream, width=160))
    config = DemoConfig(n=60, num_end_to_end=20, seed=3, threads=1, latency=LatencyConfig(num_warm_up=1, num_rounds=10))
    findings = run(config, source, out, narrator, started_s=time.monotonic())
    narrator.conclude(findings, str(out / "report.html"))
    return Run(out, findings, stream.getvalue())
