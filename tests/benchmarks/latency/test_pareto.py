"""Latency and robustness meet only where bytes and runtime are the same; the front is what nothing beats."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_latency_record import record
from test_latency_rounds import contestant, protocol

from capgan_benchmarks.latency.assembling import row_of
from capgan_benchmarks.latency.pareto import Point, front_of, pareto_of
from capgan_benchmarks.latency.record import LatencyRecord, write_record
from capgan_benchmarks.latency.rounds import Timed
from capgan_benchmarks.robustness import record as robustness_record
from capgan_benchmarks.robustness.record import DataIdentity, RobustnessRecord, SystemIdentity, Worst
from capgan_benchmarks.robustness.subject import find_subject
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.card_check import OPENVINO
from capgan_edge.runtime.openvino import is_installed

FP32, INT8 = "1" * 64, "2" * 64
PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]


def latency() -> LatencyRecord:
    def row(name: str, role: Any, ms: float, *, sha256: str, runtime: str = "ort", precision: str = "fp32") -> Any:
        each = contestant(name, [], role=role, artifact=name, runtime=runtime, precision=precision)
        timed = Timed([[ms], [ms]], [[ms], [ms]])
        made = row_of(each, timed, batch=1, scenario="single-stream")
        return made.model_copy(update={"artifact_sha256": sha256})

    rows = (row("victim", "victim", 1.0, sha256=FP32), row("fp32", "purified", 3.0, sha256=FP32),
            row("int8", "purified", 2.0, sha256=INT8, precision="int8"),
            row("fp32 fast", "purified", 0.5, sha256=FP32, runtime="openvino"))  # fmt: skip
    return record(rows=rows, ratios=(), protocol=protocol(batches=(1,)))


def system(name: str, kind: Any, sha256: str, device: str = "a CPU, ONNX Runtime") -> SystemIdentity:
    return SystemIdentity(name=name, kind=kind, sha256=sha256, precision="fp32", device=device)


def worst(name: str, num_right: int, *attacks: str) -> Worst:
    return Worst(system=name, epsilon=8 / 255, scenarios=("white-box",), attacks=attacks or ("PGD-40", "FGSM"), n=100,
                 num_right=num_right, percent=num_right,
                 interval_95=(max(0, num_right - 5), num_right + 5))  # fmt: skip


def robustness(**changes: Any) -> RobustnessRecord:
    values: dict[str, Any] = {
        "date": "2026-01-01", "code": "abc", "environment": {}, "command": "x", "arguments": (), "subject": "tiny",
        "tier": "quick", "seed": 0, "batch": 8, "threats": (), "cells": (), "flips": (), "checks": (),
        "not_tested": (), "seconds": 1.0,
        "data": DataIdentity(name="signs/test", n=100, num_available=100, seed=0, sha256="3" * 64),
        "systems": (system("bare victim", "victim", "4" * 64), system("a", "artifact", FP32),
                    system("b", "artifact", INT8)),
        "worst": (worst("bare victim", 10), worst("a", 80), worst("b", 70), worst("a", 90, "FGSM")),
    }  # fmt: skip
    return RobustnessRecord(**{**values, **changes})


def test_points_are_joined_by_hash_and_runtime() -> None:
    held = pareto_of(latency(), robustness(), batch=1)
    assert {point.name: (point.p50_ms, point.percent) for point in held.points} == {
        "victim": (1.0, 10), "fp32": (3.0, 80), "int8": (2.0, 70)}  # fmt: skip
    assert held.left_out == ("fp32 fast",), "its robustness was measured in another runtime"
    assert held.front == ("victim", "int8", "fp32")
    assert held.attacks == "PGD-40, FGSM at epsilon 8/255 (white-box)"
    own = robustness(systems=(system("a", "artifact", FP32, "a CPU, OpenVINO"),), worst=(worst("a", 60),))
    assert [point.name for point in pareto_of(latency(), own, batch=1).points] == ["fp32 fast"]
    both = pareto_of(latency(), robustness(), own, batch=1)
    assert {point.name: point.percent for point in both.points} == {
        "victim": 10,
        "fp32": 80,
        "int8": 70,
        "fp32 fast": 60,
    }
    assert both.left_out == ()


def test_records_of_other_images_or_other_attacks_do_not_meet() -> None:
    other = robustness(data=DataIdentity(name="signs/test", n=50, num_available=100, seed=1, sha256="5" * 64))
    with pytest.raises(
        ConfigError, match="of the same images, got 100 of signs/test, seed 0 and 50 of signs/test, seed 1"
    ):
        pareto_of(latency(), robustness(), other, batch=1)
    with pytest.raises(ConfigError, match="worst cases over the same attacks"):
        pareto_of(latency(), robustness(), robustness(worst=(worst("a", 60, "CWL2-1000"),)), batch=1)


@pytest.mark.skipif(not is_installed(), reason="needs openvino: pip install 'capgan-edge[openvino]'")
def test_what_the_robustness_benchmark_says_of_openvino_joins_latencies_of_openvino() -> None:
    with find_subject("signs-nano", runtime=OPENVINO) as subject:
        (scored,) = (system.identity for system in subject.artifact_systems)
    shared = scored.model_copy(update={"sha256": FP32})
    in_bf16 = shared.model_copy(update={"name": "b", "precision": "bf16"})
    own = robustness(systems=(in_bf16, shared), worst=(worst("b", 50), worst(shared.name, 60)))
    (point,) = pareto_of(latency(), own, batch=1).points
    assert (point.name, point.percent) == ("fp32 fast", 60)


def test_records_that_share_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="share an artifact"):
        pareto_of(latency(), robustness(systems=(system("a", "artifact", "9" * 64),)), batch=1)
    with pytest.raises(ConfigError, match="batch sizes of the latency record, 1, got 8"):
        pareto_of(latency(), robustness(), batch=8)
    with pytest.raises(ConfigError, match="with worst cases"):
        pareto_of(latency(), robustness(worst=()), batch=1)


def test_the_front_is_what_no_other_beats() -> None:
    rng = np.random.default_rng(0)
    points = [Point(name=str(index), is_victim=False, p50_ms=float(ms), p90_ms=0.0, n_queries=1, percent=float(percent),
                    interval_95=(0, 100), n_images=1)
              for index, (ms, percent) in enumerate(rng.integers(1, 9, (30, 2)))]  # fmt: skip
    front = front_of(points)
    kept = [point for name in front for point in points if point.name == name]
    for point in points:
        beaten = any(other.p50_ms <= point.p50_ms and other.percent >= point.percent and
                     (other.p50_ms, other.percent) != (point.p50_ms, point.percent) for other in points)  # fmt: skip
        assert beaten == (point.name not in front)
    assert [point.p50_ms for point in kept] == sorted(point.p50_ms for point in kept)


def test_the_command_writes_a_figure_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "latency.json", latency())
    robustness_record.write_record(tmp_path / "robustness.json", robustness())
    arguments = ["benchmark", "pareto", str(tmp_path / "latency.json"), str(tmp_path / "robustness.json")]
    assert main([*arguments, "--out", str(tmp_path / "out")], PARTS) == 0
    figure = ET.fromstring((tmp_path / "out" / "pareto.svg").read_text())
    circles = [each for each in figure.iter() if each.tag.endswith("circle")]
    assert len(circles) == 3
    assert all(0 < float(each.get("cx", 0)) < 760 and 0 < float(each.get("cy", 0)) < 420 for each in circles)
    table = (tmp_path / "out" / "pareto.md").read_text()
    assert "| **int8** | 2.000 | 2.000 | 2 | 70.0 % [65.0, 75.0] | 100 |" in table
    assert "left out: fp32 fast" in table
    assert main([*arguments[:2], *reversed(arguments[2:]), "--out", str(tmp_path / "out")], PARTS) == 1
    assert "expected a record of capgan-edge benchmark latency" in capsys.readouterr().err
