"""Which graphs and engines a gate judges, and the runner of each. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_edge.hardware import cpu_name
from capgan_edge.runtime import openvino
from capgan_edge.runtime.backends import ARITHMETIC_OF, BF16
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import ONNX_RUNTIME, OPENVINO, OPENVINO_BF16, TENSORRT
from capgan_edge.runtime.engine_opening import open_engine
from capgan_edge.runtime.manifest import Manifest
from capgan_edge.runtime.openvino import ARITHMETICS, OpenVinoRunner, is_installed
from capgan_edge.runtime.ort import CPU, OrtRunner
from capgan_edge.runtime.runner import Runner
from capgan_edge.runtime.trt import TrtRunner
from capgan_export.gate.frames import GateSet

_BATCH = 32
_BACKENDS = (ONNX_RUNTIME, OPENVINO)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An artifact that runs here; the runner is the caller's to close."""

    runner: Runner
    device: str
    """What it runs on, as cards say it."""
    batch_range: tuple[int, int] = (1, _BATCH)
    """The fewest and the most frames that it takes at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What an artifact says of one kind of frames."""

    logits_NK: NDArray[np.float32]
    suspicion_N: NDArray[np.float32]


def runtime_from_options(backend: str, precision: str | None) -> str:
    """Return what graphs are to be computed by, as cards call it; engines run in TensorRT whatever is chosen.

    Raises:
        ConfigError: there is no such choice.
        MissingDependencyError: OpenVINO was chosen and is not installed.
    """
    if backend not in _BACKENDS:
        raise ConfigError(f"expected the backend {' or '.join(_BACKENDS)}, got {backend!r}; choose one of these")
    if precision not in (None, BF16) or (precision == BF16 and backend != OPENVINO):
        raise ConfigError(
            f"expected --precision {BF16} beside --backend {OPENVINO}, or none, got {precision!r} beside {backend}; "
            "any other precision is in the graph: name that with --artifact"
        )
    if backend == OPENVINO and not is_installed():
        raise MissingDependencyError("openvino", f"--backend {OPENVINO}", "openvino")
    return OPENVINO_BF16 if precision == BF16 else backend


def judged_names(manifest: Manifest, wanted: Sequence[str], runtime: str = ONNX_RUNTIME) -> tuple[str, ...]:
    """Return the artifacts to judge: those wanted, or all that are there; engines only beside ONNX Runtime.

    Raises:
        ConfigError: the bundle has none of a name that is wanted, or none that the runtime computes.
    """
    held = (*(name for name in manifest.artifacts if name.endswith(".onnx")), *manifest.engines)
    unknown = [name for name in wanted if name not in held]
    if unknown:
        raise ConfigError(
            f"expected an artifact of the bundle, {', '.join(held)}, got {unknown[0]!r}; name one of these"
        )
    fit = tuple(name for name in held if _is_computed(manifest, name, runtime))
    unfit = [name for name in wanted if name not in fit]
    if unfit or not fit:
        kind = "an FP32 graph" if runtime == OPENVINO_BF16 else "a graph"
        raise ConfigError(
            f"expected {kind} for {runtime}, got {unfit[0] if unfit else ', '.join(held)}; leave --backend and "
            "--precision out for it"
        )
    return tuple(dict.fromkeys(wanted)) or fit


def _is_computed(manifest: Manifest, name: str, runtime: str) -> bool:
    """Return whether a runtime is for this artifact; beside ONNX Runtime, TensorRT is for the engines."""
    if runtime == ONNX_RUNTIME:
        return True
    is_graph = name not in manifest.engines
    return is_graph and (runtime != OPENVINO_BF16 or manifest.artifacts[name].precision == "fp32")


def precision_of(manifest: Manifest, name: str, runtime: str = ONNX_RUNTIME) -> str:
    """Return the precision of an engine, or what a graph is computed in: its own, or BF16 where that is the runtime."""
    if name in manifest.engines:
        return manifest.engines[name].precision
    return BF16 if runtime == OPENVINO_BF16 else manifest.artifacts[name].precision


def open_artifact(bundle: Bundle, name: str, runtime: str = ONNX_RUNTIME, *, allow_host_code: bool = False) -> Opened:
    """Load a graph or an engine.

    Args:
        bundle: opened and verified.
        name: as the manifest has it.
        runtime: of a graph, as cards call it.
        allow_host_code: run the code that a version-compatible engine brings along.

    Raises:
        CapganError: it does not load on this machine, or takes and gives something else than the manifest promises.
    """
    manifest = bundle.manifest
    runner: OrtRunner | OpenVinoRunner | TrtRunner
    if name in manifest.engines:
        runner = open_engine(bundle, name, allow_host_code=allow_host_code)
        most = max(runner.min_batch, min(runner.max_batch, _BATCH))
        device = f"{runner.device_name}, {', '.join(runner.providers)}"
        opened = Opened(runner=runner, device=device, batch_range=(runner.min_batch, most))
    else:
        runner, device = _graph_runner(bundle.read_file(name), precision_of(manifest, name, runtime), runtime)
        opened = Opened(runner=runner, device=device)
    promised = ((manifest.input.height, manifest.input.width), len(manifest.labels))
    held = (runner.contract.size_px, runner.contract.num_classes)
    if held != promised:
        runner.close()
        raise ArtifactError(
            f"{name}: expected frame size and classes {promised} as promised, got {held}; make it again"
        )
    return opened


def open_graph(model_bytes: bytes, precision: str, runtime: str = ONNX_RUNTIME) -> Opened:
    """Load a graph as it is computed in a precision, which is its own, or `bf16`.

    Raises:
        CapganError: it does not load, or the runtime does not compute in this precision here.
    """
    runner, device = _graph_runner(model_bytes, precision, runtime)
    return Opened(runner=runner, device=device)


def _graph_runner(model_bytes: bytes, precision: str, runtime: str) -> tuple[OrtRunner | OpenVinoRunner, str]:
    """Return the runner, and the device as cards say it."""
    if runtime == ONNX_RUNTIME:
        model_bytes, arithmetic = _as_computed(model_bytes, precision)
        return OrtRunner(model_bytes), f"{cpu_name()}, ONNX Runtime, {CPU}{arithmetic}"
    runner = OpenVinoRunner(model_bytes, arithmetic=ARITHMETIC_OF[precision])
    floats = ARITHMETICS[runner.arithmetic]
    return runner, f"{cpu_name()}, OpenVINO {openvino.version()}, CPU, floating point in {floats}"


def runtime_of_artifact(manifest: Manifest, name: str, runtime: str) -> str:
    """Return what computes an artifact where graphs are computed by `runtime`."""
    return TENSORRT if name in manifest.engines else runtime


def _as_computed(model_bytes: bytes, precision: str) -> tuple[bytes, str]:
    """Return what ONNX Runtime must be given so that it computes in the precision of the graph, and what to say of it.

    On a CPU it computes FP16 graphs in FP32, which flatters them; a twin that rounds every FP16 value does not. Where
    the package onnx is not at hand (an edge box), the verdict is of the flattering arithmetic, and says so. An INT8
    graph whose rest is in FP32 has no FP16 values, and is taken as it is.
    """
    if precision == "fp32":
        return model_bytes, ""
    try:
        from capgan_export.precision.rounding import has_fp16, rounded_twin

        if not has_fp16(model_bytes):
            return model_bytes, ""
        return rounded_twin(model_bytes), ", FP16 values rounded"
    except ImportError:
        which = "FP16 values" if precision == "fp16" else "FP16 values, if it has any,"
        return model_bytes, f", {which} computed in FP32 (pip install onnx rounds them)"


def run_set(opened: Opened, held: GateSet, advance: Callable[[int], None]) -> tuple[Said, ...]:
    """Run the artifact on every kind of frames, in the set's order."""
    return tuple(_run(opened, kind.frames_NHWC, advance) for kind in held.kinds)


def _run(opened: Opened, frames_NHWC: NDArray[np.uint8], advance: Callable[[int], None]) -> Said:
    logits, suspicion = [], []
    fewest, most = opened.batch_range
    for start in range(0, len(frames_NHWC), most):
        batch_NHWC = frames_NHWC[start : start + most]
        n = len(batch_NHWC)
        if n < fewest:  # an engine whose profile does not go down to what is left: the last frame fills it up
            batch_NHWC = np.concatenate([batch_NHWC, np.repeat(batch_NHWC[-1:], fewest - n, axis=0)])
        outputs = opened.runner(batch_NHWC)
        logits.append(outputs.logits_NK[:n].copy())
        suspicion.append(outputs.suspicion_N[:n].copy())
        advance(n)
    return Said(logits_NK=np.concatenate(logits), suspicion_N=np.concatenate(suspicion))
