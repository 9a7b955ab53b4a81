"""Which engine runs a bundle: the one asked for, or with `auto` the fastest that really loads, with the reason why."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.ort import CPU, CUDA, OrtRunner, available_providers

BACKENDS = ("auto", "cpu", "cuda")


def open_runner(
    model_bytes: bytes,
    *,
    backend: str = "auto",
    threads: int | None = None,
    offered: Sequence[str] | None = None,
) -> tuple[OrtRunner, str]:
    """Return a runner, and one line that says which backend it is and why.

    Args:
        model_bytes: the graph.
        backend: `auto`, `cpu` or `cuda`.
        threads: CPU threads of one call; None leaves it to ONNX Runtime.
        offered: the providers to choose from; None asks ONNX Runtime.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend is one of {', '.join(BACKENDS)}, got {backend!r}; choose one of these")
    if backend == "cpu":
        return OrtRunner(model_bytes, threads=threads), "cpu: asked for"
    if backend == "cuda":
        return OrtRunner(model_bytes, providers=(CUDA, CPU), threads=threads), "cuda: asked for"
    offered = available_providers() if offered is None else offered
    if CUDA not in offered:
        return OrtRunner(model_bytes, threads=threads), f"cpu: this onnxruntime offers no {CUDA}"
    try:
        return OrtRunner(model_bytes, providers=(CUDA, CPU), threads=threads), f"cuda: {CUDA} is offered and loads"
    except (ArtifactError, ConfigError) as error:
        # A graph that is itself broken fails on the CPU too, and that error is the one raised.
        return OrtRunner(model_bytes, threads=threads), f"cpu: {CUDA} is offered but did not load ({error})"
