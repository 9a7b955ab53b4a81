"""Which graphs and engines a gate judges, and the runner of each. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.hardware import cpu_name
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.engine_opening import open_engine
from capgan_edge.runtime.manifest import Manifest
from capgan_edge.runtime.ort import CPU, OrtRunner
from capgan_edge.runtime.runner import Runner
from capgan_edge.runtime.trt import TrtRunner
from capgan_export.gate.frames import GateSet

_BATCH = 32


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


def judged_names(manifest: Manifest, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the artifacts to judge: those wanted, or every graph and engine of the bundle.

    Raises:
        ConfigError: the bundle has none of a name that is wanted.
    """
    held = (*(name for name in manifest.artifacts if name.endswith(".onnx")), *manifest.engines)
    unknown = [name for name in wanted if name not in held]
    if unknown:
        raise ConfigError(
            f"expected an artifact of the bundle, {', '.join(held)}, got {unknown[0]!r}; name one of these"
        )
    return tuple(dict.fromkeys(wanted)) or held


def precision_of(manifest: Manifest, name: str) -> str:
    """Return the precision of a graph or an engine."""
    return manifest.engines[name].precision if name in manifest.engines else manifest.artifacts[name].precision


def open_artifact(bundle: Bundle, name: str) -> Opened:
    """Load a graph or an engine.

    Raises:
        CapganError: it does not load on this machine, or takes and gives something else than the manifest promises.
    """
    runner: OrtRunner | TrtRunner
    if name in bundle.manifest.engines:
        runner = open_engine(bundle, name)
        most = max(runner.min_batch, min(runner.max_batch, _BATCH))
        device = f"{runner.device_name}, {', '.join(runner.providers)}"
        opened = Opened(runner=runner, device=device, batch_range=(runner.min_batch, most))
    else:
        model_bytes, arithmetic = _as_computed(bundle.read_file(name), precision_of(bundle.manifest, name))
        runner = OrtRunner(model_bytes)
        opened = Opened(runner=runner, device=f"{cpu_name()}, ONNX Runtime, {CPU}{arithmetic}")
    manifest = bundle.manifest
    promised = ((manifest.input.height, manifest.input.width), len(manifest.labels))
    held = (runner.contract.size_px, runner.contract.num_classes)
    if held != promised:
        runner.close()
        raise ArtifactError(
            f"{name}: expected frame size and classes {promised} as promised, got {held}; make it again"
        )
    return opened


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
