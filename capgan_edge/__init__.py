"""Adversarial purification for deployed image classifiers: train, fuse, export, verify and run CAP-GAN at the edge."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capgan_edge.runtime.bundle import Bundle
    from capgan_edge.runtime.classifier import Classifier, Verdict
    from capgan_edge.runtime.stream.event import Event
    from capgan_edge.runtime.stream.loop import Source
    from capgan_edge.runtime.stream.regions import Regions

    __version__: str

__all__ = ["Bundle", "Classifier", "Verdict", "__version__", "load", "stream"]

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
        backend: `tensorrt` (an engine of the bundle, never anything else), `cuda`, `openvino`, `cpu`, or `auto`: an
            engine that loads here, else CUDA where it really loads, else on x86 OpenVINO where it is installed and the
            artifact has no card or threshold from ONNX Runtime to lose, else ONNX Runtime on the CPU;
            `classifier.backend_reason` says which and why.
        precision: `fp32`, `fp16`, `int8`, `bf16` (the fp32 graph, computed in BF16 by OpenVINO), or `auto`: an engine
            in fp16 or else fp32 (int8 only where the bundle has no other engine), else the fp32 graph where the bundle
            has it.
        threads: CPU threads of one call; None leaves it to the backend.
        allow_host_code: run the code that an engine built with `--version-compatible` brings along. Only for engines
            that you trust like a program.
        require_card: refuse an artifact that has not passed `capgan-edge verify`, robustness and all; without it
            `classifier.describe()["card_warning"]` says what is missing.

    Raises:
        ArtifactError: the bundle is missing, changed, of a newer schema, or lacks this precision; with `tensorrt`, no
            engine of it runs here; with `require_card`, there is no passing card.
        ConfigError: an unknown backend or precision, or a backend that this machine does not offer.
        MissingDependencyError: ONNX Runtime, or the OpenVINO that was asked for, is not installed.
    """
    from capgan_edge.runtime.loading import load_classifier

    return load_classifier(Path(bundle), backend=backend, precision=precision, threads=threads,
                           allow_host_code=allow_host_code, require_card=require_card)  # fmt: skip


def stream(
    classifier: Classifier,
    source: Source,
    *,
    regions: Regions = "whole",
    deadline_ms: float | None = None,
    on_deadline_miss: str = "hold",
    **options: Any,
) -> Generator[Event, None, None]:
    """Classify a camera, a video or a stream: yield an event for each processed frame and each change of the source.

    Frames are captured in a thread of their own and the newest wins; a source that is lost is opened again, and no
    frame is ever invented. Close the iterator (or leave the program) to let go of the source.

    Args:
        classifier: from `load`; it stays open.
        source: a camera's number, /dev/video0, a video file, a folder of images, rtsp:// or http:// (MJPEG), a
            GStreamer pipeline, `demo`; or a function that returns a `capgan_edge.runtime.stream.capture.Capture`.
        regions: `whole`, boxes (left, top, right, bottom in pixels), a `Grid`, `source` for what the demo knows, or a
            function that takes an RGB frame [H, W, 3] and returns boxes: a detector.
        deadline_ms: largest age of a frame when its verdict is there; None sets no deadline.
        on_deadline_miss: `hold` answers at the deadline with the last verdicts, `bypass` leaves out the purifier for a
            while, `stop` raises after the event that was late.
        options: fields of `capgan_edge.runtime.stream.config.StreamConfig`, e.g. `every_frame`, `vote`,
            `stall_s`; and `stop`, a `threading.Event` that ends the loop when it is set.

    Raises:
        ConfigError: a source, a region or an option that is none.
        ArtifactError: `bypass`, and the bundle was exported without `raw_logits`.
        RunnerFailedError: frame after frame could not be processed; raised while iterating.
        DeadlineMissedError: a frame was late, and the policy is to stop; raised while iterating.
    """
    from capgan_edge.runtime.stream.loop import stream_with_options

    return stream_with_options(classifier, source, regions=regions, deadline_ms=deadline_ms,
                               on_deadline_miss=on_deadline_miss, **options)  # fmt: skip


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
