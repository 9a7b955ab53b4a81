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
    allow_host_code: bool = False,
    require_card: bool = False,
) -> Classifier:
    """Verify a bundle and return a classifier that purifies and classifies frames with it.

    Args:
        bundle: the directory that `capgan-edge export` wrote.
        backend: `tensorrt` (an engine of the bundle, never anything else), `cuda`, `cpu`, or `auto`: an engine that
            loads here, else CUDA where it really loads, else the CPU; `classifier.backend_reason` says which and why.
        precision: `fp32`, `fp16`, `int8`, or `auto`: an engine in fp16 or else fp32 (int8 only where the bundle has no
            other engine), else the fp32 graph where the bundle has it.
        threads: CPU threads of one call; None leaves it to ONNX Runtime.
        allow_host_code: run the code that an engine built with `--version-compatible` brings along. Only for engines
            that you trust like a program.
        require_card: refuse an artifact that has not passed `capgan-edge verify`, robustness and all; without it
            `classifier.describe()["card_warning"]` says what is missing.

    Raises:
        ArtifactError: the bundle is missing, changed, of a newer schema, or lacks this precision; with `tensorrt`, no
            engine of it runs here; with `require_card`, there is no passing card.
        ConfigError: an unknown backend or precision, or a backend that this machine does not offer.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    from capgan_edge.runtime.loading import load_classifier

    return load_classifier(Path(bundle), backend=backend, precision=precision, threads=threads,
                           allow_host_code=allow_host_code, require_card=require_card)  # fmt: skip


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
