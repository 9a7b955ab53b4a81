"""Which backend runs a bundle: the one asked for, or with `auto` the fastest that really loads, with the reason why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.engine_opening import open_engine
from capgan_edge.runtime.fields import Precision
from capgan_edge.runtime.ort import CPU, CUDA, OrtRunner, available_providers
from capgan_edge.runtime.trt import TrtRunner

BACKENDS = ("auto", "tensorrt", "cuda", "cpu")
PRECISIONS = ("auto", *get_args(Precision))
_PREFERRED = ("fp16", "fp32")
"""Of engines, where no precision was asked for. INT8 is taken unasked only where the bundle has no other engine: it is
not always the faster one, and what it does to robustness differs from model to model."""
EngineOpener = Callable[..., TrtRunner]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A runner, what it runs, and why."""

    runner: OrtRunner | TrtRunner
    artifact: str
    """The graph or the engine, as the manifest names it."""
    backend: str
    """One of `BACKENDS` but `auto`."""
    reason: str
    """One line: the backend, and why this one."""


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
        backend: `tensorrt` is an engine of the bundle or an error; `cuda` and `cpu` are ONNX Runtime; `auto` is an
            engine, else CUDA, else the CPU.
        precision: `fp32`, `fp16` or `int8`; `auto` is fp32 for a graph, and for an engine fp16, else fp32, else, where
            the bundle has engines in nothing but int8, that.
        threads: CPU threads of one call; None leaves it to ONNX Runtime.
        allow_host_code: run the code that a version-compatible engine brings along.
        offered: the providers to choose from; None asks ONNX Runtime.
        engine_opener: opens an engine of the bundle by its name.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend is one of {', '.join(BACKENDS)}, got {backend!r}; choose one of these")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}; choose one of these")
    attempt = _Attempt(bundle, precision, threads)
    if backend in ("cpu", "cuda"):
        return attempt.graph(backend, "asked for")
    engine = attempt.engine(engine_opener, allow_host_code=allow_host_code)
    if engine is not None:
        return engine
    if backend == "tensorrt":
        raise ArtifactError(
            f"{bundle.path}: expected a TensorRT engine that runs here, but: {attempt.said()}; "
            f"build one on this machine (capgan-edge build-engine {bundle.path} {_build_option(precision)}), "
            "or choose another backend"
        )
    return attempt.fastest_graph(available_providers() if offered is None else offered)


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
        return Opened(runner=runner, artifact=name, backend=backend, reason=f"{backend}: {why}")

    def fastest_graph(self, offered: Sequence[str]) -> Opened:
        """Return a runner on CUDA where it loads, else on the CPU."""
        if CUDA not in offered:
            self.passed_over.append(f"this onnxruntime offers no {CUDA}")
            return self.graph("cpu", self.said())
        try:
            return self.graph("cuda", f"{CUDA} is offered and loads; {self.said()}")
        except (ArtifactError, ConfigError) as error:
            # A graph that is itself broken fails on the CPU too, and that error is the one raised.
            self.passed_over.append(f"{CUDA} is offered but did not load ({error})")
        return self.graph("cpu", self.said())

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
            return Opened(runner=runner, artifact=name, backend="tensorrt", reason=f"tensorrt: {why}")
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
