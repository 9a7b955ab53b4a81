"""The victim alone: the raw logits of a fused graph, frames as they came. Shapes: N frames, H height, W width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.classifier import Classifier


def raw_logits(classifier: Classifier, batch_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the raw logits [N, K] of frames in the graph's size, at most `max_batch` of them.

    Raises:
        ArtifactError: the graph was exported without `raw_logits`, or they are not finite.
    """
    with classifier._turn:  # verdicts name the raw class and not its score, and the score is what votes weigh
        logits_NK = classifier._runner(batch_NHWC).raw_logits_NK
    if logits_NK is None:
        raise ArtifactError(
            "expected a bundle with the output raw_logits to bypass the purifier, got one exported without it; "
            "export it again with --with-raw-logits, or choose hold or stop"
        )
    if not np.isfinite(logits_NK).all():
        raise ArtifactError("expected finite logits, got NaN or infinity; check the bundle with capgan-edge verify")
    return logits_NK
