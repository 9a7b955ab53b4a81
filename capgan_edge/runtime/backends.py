"""Which backend runs a bundle: the one asked for, or with `auto` the fastest that really loads, with the reason why."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from capgan_edge.errors import ArtifactError, CapganError, ConfigError, MissingDependencyError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import ONNX_RUNTIME, computing_runtime, is_loss
from capgan_edge.runtime.engine_opening import open_engine
from capgan_edge.runtime.fields import Precision
from capgan_edge.runtime.openvino import OpenVinoRunner, is_installed
from capgan_edge.runtime.ort import CPU, CUDA, OrtRunner, available_providers
from capgan_edge.runtime.trt import TrtRunner

BACKENDS = ("auto", "tensorrt", "cuda", "openvino", "cpu")
BF16 = "bf16"
"""An FP32 graph that OpenVINO computes in BF16: only where it was asked for."""
PRECISIONS = ("auto", *get_args(Precision), BF16)
OPENVINO = "openvino"
"""Among what is `offered`, beside ONNX Runtime's providers."""
ARITHMETIC_OF = {"fp32": "f32", "int8": "f32", "fp16": "f16", BF16: "bf16"}
"""What OpenVINO computes the floating point of a graph in; of an INT8 graph, what Q/DQ nodes leave."""
_X86 = ("x86_64", "AMD64", "i686")
_PREFERRED = ("fp16", "fp32")
"""Of engines, where no precision was asked for. INT8 is taken unasked only where the bundle has no other engine: it is
not always the faster one, and what it does to robustness differs from model to model."""
EngineOpener = Callable[..., TrtRunner]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A runner, what it runs, and why."""

    runner: OrtRunner | OpenVinoRunner | TrtRunner
    artifact: str
    """The graph or the engine, as the manifest names it."""
    backend: str
    """One of `BACKENDS` but `auto`."""
    reason: str
    """One line: the backend, and why this one."""
    precision: str
    """Of the graph or the engine, or `bf16`."""


def open_runner(
    bundle: Bundle,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    allow_host_code: bool = False,
    offered: Sequence[str] | None = None,
    engine_opener: EngineOpener = open_engine,
) -> Opened:
    """Return a runner on one of the bundle's graphs or engines.

    Args:
        bundle: opened and verified.
        backend: `tensorrt` is an engine of the bundle or an error; `cuda` and `cpu` are ONNX Runtime; `openvino` is
            OpenVINO on the CPU; `auto` is an engine, else CUDA, else, on x86, OpenVINO where it is installed and no
            card or threshold would be lost by it, else ONNX Runtime on the CPU.
        precision: `fp32`, `fp16`, `int8`, or `bf16`, which OpenVINO alone has; `auto` is fp32 for a graph, and for an
            engine fp16, else fp32, else, where the bundle has engines in nothing but int8, that.
        threads: CPU threads of one call; None leaves it to the backend.
        allow_host_code: run the code that a version-compatible engine brings along.
        offered: ONNX Runtime's providers, and `openvino`, to choose from; None is what is installed.
        engine_opener: opens an engine of the bundle by its name.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend is one of {', '.join(BACKENDS)}, got {backend!r}; choose one of these")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}; choose one of these")
    attempt = _Attempt(bundle, precision, threads)
    if precision == BF16:
        return attempt.bf16(backend)
    if backend == OPENVINO:
        return attempt.openvino("asked for")
    if backend in ("cpu", "cuda"):
        return attempt.graph(backend, "asked for")
    engine = attempt.engine(engine_opener, allow_host_code=allow_host_code)
    if engine is not None:
        return engine
    if backend == "tensorrt":
        raise ArtifactError(
            f"{bundle.path}: expected a TensorRT engine that runs here, but: {attempt.said()}; "
            "on a machine with an NVIDIA GPU build one for it (capgan-edge build-engine "
            f"{bundle.path} {_build_option(precision)}), or choose another backend"
        )
    return attempt.fastest_graph(_installed() if offered is None else offered)


def _installed() -> tuple[str, ...]:
    """Return the providers of ONNX Runtime, and OpenVINO where it is the one to take on this kind of processor."""
    has_openvino = platform.machine() in _X86 and is_installed()
    try:
        providers = available_providers()
    except MissingDependencyError:
        if not has_openvino:
            raise
        providers = ()
    return (*providers, *((OPENVINO,) if has_openvino else ()))


@dataclass(slots=True)
class _Attempt:
    """One search for a runner, with what was passed over on the way."""

    bundle: Bundle
    precision: str
    threads: int | None
    passed_over: list[str] = field(default_factory=list)

    def said(self) -> str:
        return "; ".join(self.passed_over)

    def graph(self, backend: str, why: str) -> Opened:
        """Return a runner on the bundle's graph in ONNX Runtime."""
        providers = (CUDA, CPU) if backend == "cuda" else (CPU,)
        model_bytes = self.bundle.read_artifact(self.precision)
        runner = OrtRunner(model_bytes, providers=providers, threads=self.threads)
        name = self.bundle.artifact(self.precision).relative_to(self.bundle.path).as_posix()
        return Opened(runner=runner, artifact=name, backend=backend, reason=f"{backend}: {why}",
                      precision=self.bundle.manifest.artifacts[name].precision)  # fmt: skip

    def bf16(self, backend: str) -> Opened:
        """Return a runner on the FP32 graph that computes in BF16."""
        if backend not in ("auto", OPENVINO):
            raise ConfigError(
                f"expected the backend openvino for {BF16}, which no other computes in, got {backend}; "
                "choose it, or another precision"
            )
        return self.openvino(f"{BF16} was asked for, which no other backend computes in")

    def openvino(self, why: str) -> Opened:
        """Return a runner on the bundle's graph in OpenVINO."""
        wanted = "fp32" if self.precision == BF16 else self.precision
        name = self.bundle.artifact(wanted).relative_to(self.bundle.path).as_posix()
        held = BF16 if self.precision == BF16 else self.bundle.manifest.artifacts[name].precision
        runner = OpenVinoRunner(self.bundle.read_artifact(wanted), arithmetic=ARITHMETIC_OF[held], threads=self.threads)
        return Opened(runner=runner, artifact=name, backend=OPENVINO, reason=f"{OPENVINO}: {why}", precision=held)

    def fastest_graph(self, offered: Sequence[str]) -> Opened:
        """Return a runner on CUDA where it loads, else on the CPU: in OpenVINO where nothing is lost by it."""
        if CUDA not in offered:
            self.passed_over.append(f"this onnxruntime offers no {CUDA}")
        else:
            try:
                return self.graph("cuda", f"{CUDA} is offered and loads; {self.said()}")
            except (ArtifactError, ConfigError) as error:
                # A graph that is itself broken fails on the CPU too, and that error is the one raised.
                self.passed_over.append(f"{CUDA} is offered but did not load ({error})")
        faster = self.openvino_at_no_loss() if OPENVINO in offered else None
        return self.graph("cpu", self.said()) if faster is None else faster

    def openvino_at_no_loss(self) -> Opened | None:
        """Return a runner in OpenVINO; None where it does not load, or where a card or a threshold that holds on ONNX
        Runtime would be lost: they are worth more than speed, and only who asks for OpenVINO goes without.
        """
        name = self.bundle.artifact(self.precision).relative_to(self.bundle.path).as_posix()
        if is_loss(self.bundle.manifest, name, of=ONNX_RUNTIME, to=computing_runtime(OPENVINO, self.precision)):
            self.passed_over.append(
                f"{name} is not as well verified on {OPENVINO}, which is installed, as on {ONNX_RUNTIME} (capgan-edge "
                f"verify --backend {OPENVINO})"
            )
            return None
        try:
            return self.openvino(f"it is installed, on x86; {self.said()}")
        except (ArtifactError, ConfigError) as error:
            self.passed_over.append(f"OpenVINO is installed but did not load it ({error})")
            return None

    def engine(self, opener: EngineOpener, *, allow_host_code: bool) -> Opened | None:
        """Return a runner on the first engine that runs here; None where none does."""
        names = _engines(self.bundle, self.precision)
        for name in names:
            try:
                runner = opener(self.bundle, name, allow_host_code=allow_host_code)
            except CapganError as error:
                self.passed_over.append(f"{name} does not run here ({error})")
                continue
            why = "; ".join([f"{name} loads", *self.passed_over])
            return Opened(runner=runner, artifact=name, backend="tensorrt", reason=f"tensorrt: {why}",
                          precision=self.bundle.manifest.engines[name].precision)  # fmt: skip
        if not names:
            wanted = "" if self.precision == "auto" else f"{self.precision} "
            self.passed_over.append(f"the bundle has no {wanted}TensorRT engine")
        return None


def _engines(bundle: Bundle, precision: str) -> list[str]:
    """Return the engines to try, in order."""
    held = bundle.manifest.engines
    precisions: tuple[str, ...] = (precision,)
    if precision == "auto":
        precisions = ("int8",) if {record.precision for record in held.values()} == {"int8"} else _PREFERRED
    return [name for wanted in precisions for name, record in held.items() if record.precision == wanted]


def _build_option(precision: str) -> str:
    return "--fp16" if precision == "auto" else f"--{precision}"
