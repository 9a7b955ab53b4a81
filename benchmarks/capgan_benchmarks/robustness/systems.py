"""What labels frames in a benchmark: the bare victim, the purified pair in torch, and each artifact that ships.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import SystemIdentity
from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.crafting import images_as_floats, labels_of_frames
from capgan_edge.errors import ArtifactError
from capgan_edge.hardware import cpu_name

if TYPE_CHECKING:
    from capgan_edge.attacks.base import Model
    from capgan_edge.models.purifier import Purifier

VICTIM, PAIR = "bare victim", "purified (torch)"
_BATCH = 64


class Said(NamedTuple):
    """What a system says of frames."""

    labels_N: NDArray[np.int64]
    suspicion_N: NDArray[np.float64] | None
    """None where it has none: a victim without a purifier."""


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Something that labels frames."""

    identity: SystemIdentity
    say: Callable[[NDArray[np.uint8]], Said]

    @property
    def name(self) -> str:
        """As scores refer to it."""
        return self.identity.name


def victim_system(classify: Model, sha256: str) -> System:
    """Return the classifier without its defence."""

    def say(frames_NHWC: NDArray[np.uint8]) -> Said:
        return Said(labels_of_frames(classify, frames_NHWC), None)

    return System(identity=_identity(VICTIM, "victim", sha256, "fp32", _torch()), say=say)


def pair_system(purifier: Purifier, classify: Model, sha256: str) -> System:
    """Return purifier and classifier in torch, with the purifier's suspicion.

    Args:
        purifier: in eval mode, as it is exported.
        classify: from images to logits.
        sha256: of both their weights.
    """
    import torch

    from capgan_export.fused import suspicion

    @torch.no_grad()
    def say(frames_NHWC: NDArray[np.uint8]) -> Said:
        labels, suspicions = [], []
        for start in range(0, len(frames_NHWC), _BATCH):
            translated = purifier.translate(images_as_floats(frames_NHWC[start : start + _BATCH]))
            labels.append(classify(translated.image_BCHW).argmax(1).numpy())
            suspicions.append(suspicion(translated.domain_logits_BJ).double().numpy())
        return Said(np.concatenate(labels), np.concatenate(suspicions))

    return System(identity=_identity(PAIR, "pair", sha256, "fp32", _torch()), say=say)


def artifact_system(artifact: Artifact, precision: str) -> System:
    """Return a graph or an engine on its runner."""

    def say(frames_NHWC: NDArray[np.uint8]) -> Said:
        parts = [_said(artifact, batch_NHWC) for batch_NHWC in artifact.batches(frames_NHWC)]
        suspicions = [part.suspicion_N for part in parts if part.suspicion_N is not None]
        return Said(np.concatenate([part.labels_N for part in parts]), np.concatenate(suspicions))

    return System(identity=_identity(artifact.name, "artifact", artifact.sha256, precision, artifact.device), say=say)


def _said(artifact: Artifact, batch_NHWC: NDArray[np.uint8]) -> Said:
    """Run one batch; where it is below the fewest, copies of its last frame fill it up and are not read."""
    num_frames, fewest = len(batch_NHWC), artifact.batch_range[0]
    missing = np.repeat(batch_NHWC[-1:], max(0, fewest - num_frames), axis=0)
    outputs = artifact.runner(np.ascontiguousarray(np.concatenate([batch_NHWC, missing])))
    logits_NK, suspicion_N = outputs.logits_NK[:num_frames], outputs.suspicion_N[:num_frames].astype(np.float64)
    if not (np.isfinite(logits_NK).all() and np.isfinite(suspicion_N).all()):
        raise ArtifactError(f"{artifact.name}: expected finite logits and suspicion, got NaN or infinity; check the "
                            "bundle with capgan-edge verify, or leave it out with --artifact")  # fmt: skip
    return Said(logits_NK.argmax(1).astype(np.int64), suspicion_N)


def _torch() -> str:
    import torch

    return f"{cpu_name()}, torch {torch.__version__}"


def _identity(
    name: str, kind: Literal["victim", "pair", "artifact"], sha256: str, precision: str, device: str
) -> SystemIdentity:
    return SystemIdentity(name=name, kind=kind, sha256=sha256, precision=precision, device=device)
