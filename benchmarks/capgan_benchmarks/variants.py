"""What a lower precision costs: every variant of one graph on the same frames, held against the FP32 one.

Shapes: N frames, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.attacked_sets import BATCH, AttackedSet
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.ort import OrtRunner

if TYPE_CHECKING:
    from capgan_edge.runtime.runner import Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One graph to score, and how it was made."""

    name: str
    model_bytes: bytes
    made: dict[str, Any]
    """Precision, calibration set, method, what stayed out."""
    run_bytes: bytes | None = None
    """What ONNX Runtime is given instead: on a CPU it computes FP16 graphs in FP32, unless every value is rounded."""


def scored(variant: Variant, sets: Sequence[AttackedSet], reference: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
    """Return accuracy on every set and agreement with the FP32 labels, each with its n and 95 % interval, in percent.

    The attacks were made on the FP32 twin; the variant sees their 8-bit frames. Both figures are of the same frames, so
    that `lost` (right in FP32, wrong here) and `won` (the reverse) say what the precision alone did.
    """
    rows = []
    with OrtRunner(variant.run_bytes or variant.model_bytes) as runner:
        for each in sets:
            predicted_N, wanted_N = labels_of(runner, each.frames_NHWC), reference[each.title]
            is_right_N, was_right_N = predicted_N == each.labels_N, wanted_N == each.labels_N
            rows.append(
                {
                    "frames": each.title,
                    "n": len(predicted_N),
                    "accuracy": _share(is_right_N),
                    "agreement_with_fp32": _share(predicted_N == wanted_N),
                    "lost": int((was_right_N & ~is_right_N).sum()),
                    "won": int((~was_right_N & is_right_N).sum()),
                }
            )
    digest = sha256_of_bytes(variant.model_bytes)
    return {
        "name": variant.name,
        "sha256": digest,
        "size_bytes": len(variant.model_bytes),
        **variant.made,
        "scores": rows,
    }


def labels_of(runner: Runner, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the class that a graph gives each frame, after purification."""
    parts = [runner(frames_NHWC[i : i + BATCH]).logits_NK.argmax(1) for i in range(0, len(frames_NHWC), BATCH)]
    return np.concatenate(parts)


def _share(is_so_N: NDArray[np.bool_]) -> dict[str, Any]:
    n, count = len(is_so_N), int(is_so_N.sum())
    low, high = wilson_interval_percent(count, n)
    return {"percent": round(100 * count / n, 3), "interval_95": [round(low, 3), round(high, 3)]}
