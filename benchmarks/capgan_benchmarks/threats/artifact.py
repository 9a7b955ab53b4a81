"""The file that ships, as an attacker and a judge meet it: 8-bit frames in, logits out, in batches that it takes.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.engine_opening import refuse_stale
from capgan_edge.runtime.runner import Outputs, Runner
from capgan_export.gate.artifacts import judged_names, open_artifact


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A graph or an engine on its runner, which stays the caller's to close."""

    name: str
    sha256: str
    """Of the file."""
    runner: Runner
    device: str
    """What it runs on, as cards say it."""
    batch_range: tuple[int, int]
    """The fewest and the most frames that it takes at once."""

    @property
    def answers_by(self) -> tuple[str, ...]:
        """What its answers depend on: the file, what computes it, and how many frames at once."""
        return self.sha256, self.device, *map(str, self.batch_range)

    def batches(self, frames_NHWC: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames in as many as it takes at once."""
        for start in range(0, len(frames_NHWC), self.batch_range[1]):
            yield frames_NHWC[start : start + self.batch_range[1]]

    def logits_of(self, batch_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of one batch."""
        logits_NK = self.outputs_of(batch_NHWC).logits_NK
        if not np.isfinite(logits_NK).all():
            raise ArtifactError(f"{self.name}: expected finite logits, got NaN or infinity; check the bundle with "
                                "capgan-edge verify, or attack another artifact")  # fmt: skip
        return logits_NK

    def outputs_of(self, batch_NHWC: NDArray[np.uint8]) -> Outputs:
        """Run one batch; where it is below the fewest, copies of its last frame fill it up and are not read."""
        num_frames, (fewest, most) = len(batch_NHWC), self.batch_range
        assert 1 <= num_frames <= most
        if num_frames < fewest:
            batch_NHWC = np.concatenate([batch_NHWC, np.repeat(batch_NHWC[-1:], fewest - num_frames, axis=0)])
        given = self.runner(np.ascontiguousarray(batch_NHWC))  # whose arrays the next call may use again
        purified_NHWC, raw_NK = given.purified_NHWC, given.raw_logits_NK
        return Outputs(logits_NK=given.logits_NK[:num_frames].copy(), suspicion_N=given.suspicion_N[:num_frames].copy(),
                       purified_NHWC=None if purified_NHWC is None else purified_NHWC[:num_frames].copy(),
                       raw_logits_NK=None if raw_NK is None else raw_NK[:num_frames].copy())  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class that it gives each frame."""
        found = [self.logits_of(batch_NHWC).argmax(1).astype(np.int64) for batch_NHWC in self.batches(frames_NHWC)]
        return np.concatenate(found) if found else np.empty(0, np.int64)


def artifact_from_bundle(bundle: Bundle, name: str) -> Artifact:
    """Load a graph or an engine of a bundle, computed in the precision that it says.

    Raises:
        CapganError: it does not load on this machine, or is not what the manifest promises.
    """
    opened = open_artifact(bundle, name)
    return Artifact(name=name, sha256=bundle.manifest.files[name].sha256, runner=opened.runner, device=opened.device,
                    batch_range=opened.batch_range)  # fmt: skip


def graph_of(bundle: Bundle, name: str) -> str:
    """Return the name of the graph that an artifact is: itself, or of an engine the one that it was compiled from.

    Raises:
        ConfigError: the bundle has no artifact of that name.
        ArtifactError: the engine's graph was replaced since.
    """
    manifest = bundle.manifest
    (known,) = judged_names(manifest, [name])
    if known not in manifest.engines:
        return known
    refuse_stale(bundle, known)
    wanted = manifest.engines[known].source_sha256
    return next(graph for graph in manifest.artifacts if manifest.files[graph].sha256 == wanted)
