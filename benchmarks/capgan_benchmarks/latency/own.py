"""Our own contestants: the classifier alone, the purified artifact and `classify`, in every runtime that runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.contestant import Contestant, Stopwatch
from capgan_benchmarks.latency.victim_graph import deployed, victim_alone
from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.hardware import sums_int8_exactly
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.openvino import OpenVinoRunner
from capgan_edge.runtime.ort import CPU, CUDA, OrtRunner
from capgan_edge.runtime.runner import Outputs, Runner

RUNTIMES = ("ort", "ort-cuda", "openvino", "openvino-bf16")
"""What may run a graph; an engine runs in TensorRT."""
_CUT = "outputs logits and suspicion alone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """One graph that ships."""

    name: str
    precision: str
    model_bytes: bytes


class _Watched:
    """A runner whose calls are timed, for `classify`: the rest of its time is the host's."""

    def __init__(self, runner: Runner, engine: Stopwatch) -> None:
        self._runner, self._engine = runner, engine

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        with self._engine:
            return self._runner(frames_NHWC)

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_graph(runtime: str, model_bytes: bytes, precision: str, threads: int) -> OrtRunner | OpenVinoRunner:
    """Return a runner on a graph.

    Raises:
        CapganError: the runtime is not installed, or does not compute in this precision here.
    """
    if runtime == "openvino-bf16":
        if precision != "fp32":
            raise ConfigError(f"expected an fp32 graph for openvino-bf16, got one in {precision}; it has a row of fp32")
        return OpenVinoRunner(model_bytes, arithmetic="bf16", threads=threads)
    if runtime == "openvino":
        return OpenVinoRunner(model_bytes, arithmetic="f16" if precision == "fp16" else "f32", threads=threads)
    providers = (CUDA, CPU) if runtime == "ort-cuda" else (CPU,)
    return OrtRunner(model_bytes, providers=providers, threads=threads)


def has_int8_kernels(runtime: str) -> bool:
    """Return whether a runtime multiplies in INT8 here: none of ours does where that would saturate, and ONNX Runtime
    is asked not to anywhere, so that what is checked on a CPU is what an engine computes.
    """
    return runtime not in ("ort", "ort-cuda") and sums_int8_exactly()


def contestants_of(graph: Graph, runtime: str, threads: int) -> tuple[Contestant, Contestant]:
    """Return the classifier alone and the purified graph, with the same weights in the same runtime.

    Raises:
        CapganError: the runtime cannot run it.
    """
    parts = {"victim": victim_alone(graph.model_bytes), "purified": deployed(graph.model_bytes)}
    victim, purified = (_contestant(graph, runtime, threads, role, model_bytes) for role, model_bytes in parts.items())
    return victim, purified


def _contestant(graph: Graph, runtime: str, threads: int, role: Any, model_bytes: bytes) -> Contestant:
    runner = open_graph(runtime, model_bytes, graph.precision, threads)
    engine = Stopwatch()

    def call(frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        with engine:
            return runner(frames_NHWC).logits_NK

    sha256, notes = sha256_of_bytes(model_bytes), []
    if role == "victim":
        notes.append("the classifier cut out of the fused graph")
    elif model_bytes != graph.model_bytes:
        notes.append(_CUT)
    if runtime == "ort" and graph.precision == "fp16":
        notes.append("ONNX Runtime computes FP16 in FP32 on a CPU")
    if not has_int8_kernels(runtime) and graph.precision == "int8":
        notes.append("rounded to INT8, multiplied in FP32")
    precision = "bf16" if runtime == "openvino-bf16" else graph.precision
    return Contestant(name=f"{role}, {graph.name}, {runtime}", role=role, runtime=runtime,
                      provider=", ".join(runner.providers), precision=precision, call=call, engine=engine,
                      artifact=graph.name, sha256=sha256, note="; ".join(notes) or None,
                      artifact_sha256=sha256_of_bytes(graph.model_bytes), close=runner.close)  # fmt: skip


def classify_contestant(
    graph: Graph, runtime: str, threads: int, *, labels: Sequence[str], size_px: tuple[int, int]
) -> Contestant:
    """Return `Classifier.classify` on frames as a camera gives them: resizing and verdicts are the host's."""
    model_bytes, engine = deployed(graph.model_bytes), Stopwatch()
    runner = open_graph(runtime, model_bytes, graph.precision, threads)
    classifier = Classifier(_Watched(runner, engine), labels=labels, size_px=size_px)
    precision = "bf16" if runtime == "openvino-bf16" else graph.precision
    return Contestant(name=f"classify, {graph.name}, {runtime}", role="classify", runtime=runtime,
                      provider=", ".join(runner.providers), precision=precision, call=classifier.classify,
                      engine=engine, artifact=graph.name, sha256=sha256_of_bytes(model_bytes),
                      artifact_sha256=sha256_of_bytes(graph.model_bytes),
                      close=classifier.close, takes_camera_frames=True)  # fmt: skip


def engine_contestant(
    runner: Runner, name: str, *, precision: str, sha256: str, providers: Sequence[str]
) -> Contestant:
    """Return a TensorRT engine; its classifier alone is no part of it, so that it has no price of its own."""
    engine = Stopwatch()

    def call(frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        with engine:
            return runner(frames_NHWC).logits_NK

    return Contestant(name=f"purified, {name}, tensorrt", role="purified", runtime="tensorrt",
                      provider=", ".join(providers), precision=precision, call=call, engine=engine, artifact=name,
                      sha256=sha256, artifact_sha256=sha256, close=runner.close)  # fmt: skip
