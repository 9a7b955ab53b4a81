"""A cold start is a process of its own, from its start to its first verdict; what cannot start is told."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from capgan_benchmarks.latency.cold_start import STAGES, ColdRecord, measure_cold_starts, start_once
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.bundle import Bundle

PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]


@pytest.fixture
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


def test_every_stage_is_part_of_the_whole(bundle: Path) -> None:
    held = start_once(bundle, "cpu", "fp32")
    assert tuple(held["stages"]) == STAGES
    assert sum(held["stages"].values()) == pytest.approx(held["total"])
    assert all(seconds > 0 for seconds in held["stages"].values())
    assert (held["backend"], held["artifact"]) == ("cpu", "model.fp32.onnx")


def test_a_process_that_fails_says_why(bundle: Path) -> None:
    with pytest.raises(CapganError, match=r"expected a first verdict with cpu, but: .*int8"):
        start_once(bundle, "cpu", "int8")


def test_the_command_writes_a_record_and_names_who_did_not_start(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", "cold-start", str(bundle), "--runs", "2", "--backend", "cpu", "--backend", "tensorrt"]
    assert main([*command, "--out", str(tmp_path)], PARTS) == 0
    (path,) = tmp_path.iterdir()
    record = ColdRecord.model_validate_json(path.read_bytes())
    (row,) = record.rows
    assert path.name.startswith("cold-start-tiny_")
    assert (row.name, row.n) == ("cpu", 2)
    assert 0 < row.min_s <= row.p50_s <= row.max_s
    assert [each.name for each in record.not_run] == ["tensorrt"]
    assert str(bundle) not in path.read_text()
    assert "not run: tensorrt: expected a first verdict" in capsys.readouterr().out


def test_nobody_who_starts_and_too_few_runs_are_refused(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="expected a backend that runs here, but: tensorrt: "):
        measure_cold_starts(bundle, backends=("tensorrt",), precision="auto", num_runs=2)
    with pytest.raises(ConfigError, match="at least 2 runs, got 1"):
        measure_cold_starts(bundle, backends=("cpu",), precision="auto", num_runs=1)
