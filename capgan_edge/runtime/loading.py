"""From a bundle on disk to a classifier: verify, choose graph and backend, and hold the two to the same contract."""

from __future__ import annotations

from pathlib import Path

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.backends import open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier


def load_classifier(
    path: Path, *, backend: str = "auto", precision: str = "auto", threads: int | None = None
) -> Classifier:
    """Open the bundle at `path` and return a classifier on it; see `capgan_edge.load`."""
    bundle = Bundle.open(path)
    artifact = bundle.artifact(precision)
    runner, reason = open_runner(bundle.read_artifact(precision), backend=backend, threads=threads)
    manifest = bundle.manifest
    promised = (manifest.input.height, manifest.input.width, len(manifest.labels))
    held = (*runner.contract.size_px, runner.contract.num_classes)
    if held != promised:
        raise ArtifactError(
            f"{artifact}: expected height, width and classes {promised} as in the manifest, got {held}; "
            "export the bundle again"
        )
    outputs = [output.name for output in manifest.outputs]
    if set(runner.contract.output_names) != set(outputs):
        raise ArtifactError(
            f"{artifact}: expected the outputs {', '.join(outputs)} as in the manifest, "
            f"got {', '.join(runner.contract.output_names)}; export the bundle again"
        )
    name = artifact.relative_to(bundle.path).as_posix()
    return Classifier(
        runner,
        labels=manifest.labels,
        size_px=runner.contract.size_px,
        info={
            "bundle": str(path),
            "artifact": name,
            "precision": manifest.artifacts[name].precision,
            "sha256": manifest.files[name].sha256,
            "providers": list(runner.providers),
            "purifier": manifest.purifier.name,
            "victim": manifest.victim.name,
        },
        backend_reason=reason,
        is_concurrent=True,
    )
