"""What the outputs of one call say of each frame, read before the next call. Shapes: N frames, K classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.runner import Outputs


def rows_from_outputs(outputs: Outputs, *, offset: int) -> list[tuple[int, float, float, int | None]]:
    """Return (index, score, suspicion, raw index) of each frame; the outputs' arrays are not kept."""
    logits_NK, raw_NK = outputs.logits_NK, outputs.raw_logits_NK
    is_finite_N = np.isfinite(logits_NK).all(axis=1) & np.isfinite(outputs.suspicion_N)
    if raw_NK is not None:
        is_finite_N &= np.isfinite(raw_NK).all(axis=1)
    refuse_not_finite(is_finite_N, "logits and suspicion", offset=offset)
    raw_N = [None] * len(logits_NK) if raw_NK is None else [int(index) for index in raw_NK.argmax(axis=1)]
    rows = zip(indices_and_scores(logits_NK), outputs.suspicion_N, raw_N, strict=True)
    return [(index, score, float(suspicion), raw) for (index, score), suspicion, raw in rows]


def indices_and_scores(logits_NK: NDArray[np.float32]) -> list[tuple[int, float]]:
    """Return the class of each frame and its softmax probability."""
    wide_NK = logits_NK.astype(np.float64)
    weights_NK = np.exp(wide_NK - wide_NK.max(axis=1, keepdims=True))
    scores_N = weights_NK.max(axis=1) / weights_NK.sum(axis=1)
    return [(int(index), float(score)) for index, score in zip(wide_NK.argmax(axis=1), scores_N, strict=True)]


def refuse_not_finite(is_finite_N: NDArray[np.bool_], what: str, *, offset: int) -> None:
    """Raise ArtifactError where a frame gave no numbers; `offset` is the number of the first frame."""
    if not is_finite_N.all():
        raise ArtifactError(
            f"expected finite {what}, got NaN or infinity for frame {offset + int(is_finite_N.argmin())}; "
            "check the bundle with capgan-edge verify, or use precision fp32"
        )


def purified_copy(outputs: Outputs) -> NDArray[np.uint8]:
    """Return the purified frames, which the runner may write over in its next call."""
    if outputs.purified_NHWC is None:
        raise ArtifactError(
            "expected a bundle with the output purified, got one exported without it; "
            "export it again with --with-purified, or use classify"
        )
    return outputs.purified_NHWC.copy()
