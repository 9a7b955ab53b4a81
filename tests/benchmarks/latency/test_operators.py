"""A profile's operators have all the time and all the arithmetic of the graph, in both engines."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capgan_benchmarks.latency.graph_cost import cost_of_graph, macs_by_node
from capgan_benchmarks.latency.operators import RUNTIMES, Operator, operators_from_events, profile_operators
from capgan_benchmarks.latency.profiling import ProfileRecord, parts_of
from capgan_benchmarks.latency.victim_graph import deployed
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.openvino import is_installed
from capgan_export.source import Source

PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]
HERE = tuple(name for name in RUNTIMES if name != "openvino" or is_installed())


@pytest.fixture(scope="module")
def graph(tiny_bundle: Bundle) -> bytes:
    return deployed(tiny_bundle.read_artifact("fp32"))


@pytest.mark.parametrize("runtime", HERE)
def test_all_arithmetic_of_the_graph_is_found(runtime: str, graph: bytes, source: Source) -> None:
    frames_NHWC = np.zeros((2, *source.size_px, 3), np.uint8)
    held = profile_operators(runtime, graph, frames_NHWC, threads=1, num_queries=3)
    counted = cost_of_graph(graph, batch=2, precision="fp32").float_macs
    assert sum(macs_by_node(graph, batch=2).values()) == counted
    found = sum(each.macs for each in held)
    assert 0.99 * counted <= found <= 1.35 * counted, "blocked layouts pad channels: to 8 with AVX2, to 16 with AVX-512"
    assert all(each.ms >= 0 for each in held)
    assert max(held, key=lambda each: each.macs).kind.startswith(("Conv", "FusedConv"))


def test_another_runtime_is_refused(graph: bytes) -> None:
    with pytest.raises(ConfigError, match="a profile is of ort or openvino, got 'tensorrt'"):
        profile_operators("tensorrt", graph, np.zeros((1, 8, 8, 3), np.uint8), threads=1, num_queries=1)


def event(name: str, op: str, us: int, given: Any, made: Any) -> dict[str, Any]:
    said = {"op_name": op, "input_type_shape": [{"float": shape} for shape in given],
            "output_type_shape": [{"float": made}]}  # fmt: skip
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": said}


def test_known_events_give_known_operators() -> None:
    conv = [event("a", "Conv", us, [[1, 3, 8, 8], [4, 3, 3, 3]], [1, 4, 8, 8]) for us in (900, 10, 20, 30)]
    quantised = event("q", "QLinearConv", 5, [[1, 2, 4, 4], [], [], [6, 2, 1, 1]], [1, 6, 4, 4])
    product = event("g", "Gemm", 7, [[2, 5], [5, 3]], [2, 3])
    other = [{"cat": "Session", "name": "session", "dur": 9}, {"cat": "Node", "name": "a_fence_before", "dur": 9}]
    held = operators_from_events([*other, *conv, quantised, quantised, product, product], num_settling=1)
    assert held == [Operator(name="a", kind="Conv", ms=0.02, macs=256 * 27),
                    Operator(name="q", kind="QLinearConv", ms=0.005, macs=96 * 2),
                    Operator(name="g", kind="Gemm", ms=0.007, macs=6 * 5)]  # fmt: skip


def test_parts_are_shares_of_the_whole_the_longest_first() -> None:
    held = [Operator(name=name, kind=kind, ms=ms, macs=macs) for name, kind, ms, macs in
            (("a", "Conv", 1.0, 30), ("b", "Pad", 5.0, 0), ("c", "Conv", 2.0, 10))]  # fmt: skip
    pad, conv = parts_of(held, "kind")
    assert (pad.name, pad.count, pad.time_percent, pad.macs_percent) == ("Pad", 1, 62.5, 0.0)
    assert (conv.count, conv.ms, conv.time_percent, conv.macs_percent) == (2, 3.0, 37.5, 100.0)
    assert [part.name for part in parts_of(held, "name")] == ["b", "c", "a"]


def test_the_command_writes_a_record(tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--threads", "1", "--queries", "2"]
    assert main(["benchmark", "profile", str(tiny_bundle.path), *quick, "--out", str(tmp_path)], PARTS) == 0
    (path,) = tmp_path.iterdir()
    held = ProfileRecord.model_validate(json.loads(path.read_text()))
    assert path.name.startswith("profile-tiny-model.fp32-ort-1_")
    assert sum(part.time_percent for part in held.kinds) == pytest.approx(100)
    assert sum(part.macs_percent for part in held.kinds) == pytest.approx(100)
    assert held.layers == tuple(sorted(held.layers, key=lambda part: -part.ms))
    assert "Conv" in capsys.readouterr().out
    assert main(["benchmark", "profile", "signs-nano", *quick, "--artifact", "model.int8.onnx"], PARTS) == 1
    assert "expected a graph among model.fp32.onnx, got 'model.int8.onnx'" in capsys.readouterr().err
