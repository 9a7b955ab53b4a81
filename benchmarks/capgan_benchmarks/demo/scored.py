"""Frames classified through the bundle, with and without the purifier. Shapes: N frames, H height, W width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.classifier import Classifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """What the bundle says of one kind of frames."""

    kind: str
    """`clean`, or an attack's name."""
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    """The true ones."""
    victim_N: NDArray[np.int64]
    """The victim's, without purification."""
    purified_N: NDArray[np.int64]
    """The victim's behind the purifier."""
    suspicion_N: NDArray[np.float64]

    @property
    def is_victim_right(self) -> NDArray[np.bool_]:
        """Whether the bare victim is right, [N]."""
        return np.equal(self.victim_N, self.labels_N)

    @property
    def is_purified_right(self) -> NDArray[np.bool_]:
        """Whether the victim is right behind the purifier, [N]."""
        return np.equal(self.purified_N, self.labels_N)


def score(kind: str, frames_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], classifier: Classifier) -> Scored:
    """Classify frames; the bundle has the output `raw_logits`."""
    verdicts = classifier.classify(frames_NHWC)
    raw = [verdict.raw_index for verdict in verdicts]
    assert None not in raw, "the demo's bundle has raw_logits"
    return Scored(
        kind=kind,
        frames_NHWC=frames_NHWC,
        labels_N=labels_N,
        victim_N=np.array(raw, np.int64),
        purified_N=np.array([verdict.index for verdict in verdicts], np.int64),
        suspicion_N=np.array([verdict.suspicion for verdict in verdicts], np.float64),
    )
