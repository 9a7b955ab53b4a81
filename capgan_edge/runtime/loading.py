"""From a bundle on disk to a classifier: verify, choose graph and backend, and hold the two to the same contract."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime import card_check
from capgan_edge.runtime.backends import Opened, open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.manifest import Manifest
from capgan_edge.runtime.trt import TrtRunner

_MAX_BATCH = 64
"""Frames given to ONNX Runtime or OpenVINO at once; an engine takes what its profile says."""


def load_classifier(
    path: Path,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    allow_host_code: bool = False,
    require_card: bool = False,
) -> Classifier:
    """Open the bundle at `path` and return a classifier on it; see `capgan_edge.load`."""
    bundle = Bundle.open(path)
    opened = open_runner(bundle, backend=backend, precision=precision, threads=threads, allow_host_code=allow_host_code)
    return classifier_from_opened(bundle, opened, require_card=require_card)


def classifier_from_opened(bundle: Bundle, opened: Opened, *, require_card: bool = False) -> Classifier:
    """Return a classifier on a runner that was opened from `bundle`; the runner is closed where it does not fit.

    Raises:
        ArtifactError: what the runner takes and gives is not what the manifest promises, or a card was required and the
            artifact has none that passed.
    """
    manifest, runner = bundle.manifest, opened.runner
    runtime = card_check.computing_runtime(opened.backend, opened.precision)
    try:
        _refuse_other_contract(manifest, opened, origin=bundle.path / opened.artifact)
        if require_card:
            card_check.require_card(manifest, opened.artifact, runtime)
    except BaseException:
        runner.close()
        raise
    is_engine = isinstance(runner, TrtRunner)
    threshold = card_check.threshold_of(manifest, opened.artifact, runtime)

    def launches() -> dict[str, Any]:
        return {"launches": asdict(runner.counts)} if isinstance(runner, TrtRunner) else {}

    return Classifier(
        runner,
        labels=manifest.labels,
        size_px=runner.contract.size_px,
        threshold=None if threshold is None else threshold.threshold,
        info={
            "bundle": str(bundle.path),
            "artifact": opened.artifact,
            "precision": opened.precision,
            "sha256": manifest.files[opened.artifact].sha256,
            "backend": opened.backend,
            "outputs": list(runner.contract.output_names),
            "providers": list(runner.providers),
            "purifier": manifest.purifier.name,
            "victim": manifest.victim.name,
            "card_warning": card_check.card_warning(manifest, opened.artifact, runtime),
        },
        live_info=launches,
        backend_reason=opened.reason,
        max_batch=runner.max_batch if isinstance(runner, TrtRunner) else _MAX_BATCH,
        is_concurrent=not is_engine,
    )


def _refuse_other_contract(manifest: Manifest, opened: Opened, *, origin: Path) -> None:
    contract = opened.runner.contract
    promised = (manifest.input.height, manifest.input.width, len(manifest.labels))
    held = (*contract.size_px, contract.num_classes)
    if held != promised:
        raise ArtifactError(
            f"{origin}: expected height, width and classes {promised} as in the manifest, got {held}; "
            "export the bundle again"
        )
    outputs = [output.name for output in manifest.outputs]
    if set(contract.output_names) != set(outputs):
        raise ArtifactError(
            f"{origin}: expected the outputs {', '.join(outputs)} as in the manifest, "
            f"got {', '.join(contract.output_names)}; export the bundle again"
        )
