"""Adversarial purification for deployed image classifiers: train, fuse, export, verify and run CAP-GAN at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capgan_edge.runtime.bundle import Bundle
    from capgan_edge.runtime.classifier import Classifier, Verdict

    __version__: str

__all__ = ["Bundle", "Classifier", "Verdict", "__version__", "load"]

_HOME_OF = {
    "Bundle": "capgan_edge.runtime.bundle",
    "Classifier": "capgan_edge.runtime.classifier",
    "Verdict": "capgan_edge.runtime.classifier",
}


def load(
    bundle: str | Path = "bundle",
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Classifier:
    """Verify a bundle and return a classifier that purifies and classifies frames with it.

    Args:
        bundle: the directory that `capgan-edge export` wrote.
        backend: `cpu`, `cuda`, or `auto` (CUDA where it really loads, else the CPU; `classifier.backend_reason` says).
        precision: `fp32`, `fp16`, `int8`, or `auto` (fp32 where the bundle has it).
        threads: CPU threads of one call; None leaves it to ONNX Runtime.

    Raises:
        ArtifactError: the bundle is missing, changed, of a newer schema, or lacks this precision.
        ConfigError: an unknown backend or precision, or a backend that this machine does not offer.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    from capgan_edge.runtime.loading import load_classifier

    return load_classifier(Path(bundle), backend=backend, precision=precision, threads=threads)


def __getattr__(name: str) -> Any:
    """Load public names when they are first asked for, so that `import capgan_edge` stays light."""
    import importlib

    if name == "__version__":
        return _installed_version()
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'capgan_edge' has no attribute {name!r}")


def _installed_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("capgan-edge")
    except metadata.PackageNotFoundError:
        return "0+unknown"  # run from a source tree that was never installed
