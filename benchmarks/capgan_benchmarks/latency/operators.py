"""Where a query's time goes inside the engine: every operator's milliseconds, and its share of the arithmetic."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.graph_cost import macs_by_node
from capgan_benchmarks.statistics import percentile
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.openvino import OpenVinoRunner
from capgan_edge.runtime.ort import CPU, session_options

RUNTIMES = ("ort", "openvino")
_WEIGHT_AT = {"Conv": 1, "FusedConv": 1, "QLinearConv": 3}
"""Which of ONNX Runtime's inputs is the weight [out, in / groups, height, width]."""
_PRODUCT_AT = {"Gemm": 0, "FusedGemm": 0, "MatMul": 0, "FusedMatMul": 0, "QGemm": 0, "QLinearMatMul": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """One node that the engine runs; fused nodes are one."""

    name: str
    kind: str
    """What the engine calls it, with its kernel where that is told."""
    ms: float
    """Median over the queries."""
    macs: int
    """Multiply-accumulates of a query."""


def profile_operators(
    runtime: str, model_bytes: bytes, frames_NHWC: NDArray[np.uint8], *, threads: int, num_queries: int
) -> list[Operator]:
    """Run some queries, after a third as many that are not counted, and return the operators in order.

    Raises:
        ConfigError: this runtime tells no times.
    """
    if runtime == "ort":
        return _in_onnx_runtime(model_bytes, frames_NHWC, threads, num_queries)
    if runtime == "openvino":
        return _in_openvino(model_bytes, frames_NHWC, threads, num_queries)
    raise ConfigError(f"a profile is of {' or '.join(RUNTIMES)}, got {runtime!r}; choose one of these")


def _in_onnx_runtime(
    model_bytes: bytes, frames_NHWC: NDArray[np.uint8], threads: int, num_queries: int
) -> list[Operator]:
    import onnxruntime

    options = session_options(threads=threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(model_bytes, options, providers=[CPU])
        num_settling = _num_settling(num_queries)
        for _ in range(num_settling + num_queries):
            session.run(["logits"], {"frames": frames_NHWC})
        events = json.loads(Path(session.end_profiling()).read_text())
    return operators_from_events(events, num_settling=num_settling)


def operators_from_events(events: Iterable[Mapping[str, Any]], *, num_settling: int) -> list[Operator]:
    """Return the operators that ONNX Runtime's own profile tells of, without each one's first times."""
    times_ms: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, int]] = {}
    for event in events:
        name, _, what = str(event["name"]).rpartition("_kernel")
        if event.get("cat") == "Node" and what == "_time":
            times_ms.setdefault(name, []).append(event["dur"] / 1000)
            kinds[name] = event["args"]["op_name"], _macs_of_event(event["args"])
    return [Operator(name=name, kind=kinds[name][0], ms=percentile(taken_ms[num_settling:], 50), macs=kinds[name][1])
            for name, taken_ms in times_ms.items()]  # fmt: skip


def _macs_of_event(said: Mapping[str, Any]) -> int:
    given, made = (_shapes(said[name]) for name in ("input_type_shape", "output_type_shape"))
    kind = said["op_name"]
    if kind in _WEIGHT_AT:
        return math.prod(made[0]) * math.prod(given[_WEIGHT_AT[kind]][1:])
    return math.prod(made[0]) * given[_PRODUCT_AT[kind]][-1] if kind in _PRODUCT_AT else 0


def _shapes(said: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [shape for each in said for shape in each.values()]


def _in_openvino(model_bytes: bytes, frames_NHWC: NDArray[np.uint8], threads: int, num_queries: int) -> list[Operator]:
    batch = len(frames_NHWC)
    macs = macs_by_node(model_bytes, batch=batch)
    with OpenVinoRunner(model_bytes, threads=threads, is_profiled=True) as runner:
        for _ in range(_num_settling(num_queries)):
            runner(frames_NHWC)
        times_ms: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for _ in range(num_queries):
            runner(frames_NHWC)
            for name, kind, ms in runner.operator_times(batch=batch):
                times_ms.setdefault(name, []).append(ms)
                kinds[name] = kind
    return [
        Operator(name=name, kind=kinds[name], ms=percentile(taken_ms, 50),
                 macs=macs.get(name.removesuffix("/WithoutBiases"), 0))
        for name, taken_ms in times_ms.items()
    ]  # fmt: skip


def _num_settling(num_queries: int) -> int:
    return max(1, num_queries // 3)
