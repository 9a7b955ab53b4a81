"""How far the INT8 graph is from the FP32 one on the same frames: labels and logits, for the manifest.

Quantisation moves every logit, so the tolerance is wide, and what counts is that the label stays. Attacked frames lie
at the border between two classes by construction: fewer of their labels stay, and the limit is its own. A share fails
where its whole 95 % interval is below the limit. Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.manifest import ParityRecord
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.runner import Outputs
from capgan_export.gate.statistics import wilson_interval
from capgan_export.parity import ProbeFrames, joined
from capgan_export.precision.rounding import ROUNDED, has_fp16, rounded_twin

_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementConfig:
    """How far INT8 may be from FP32."""

    top1_clean: float = 0.98
    """Share of clean frames whose label stays, in [0, 1]."""
    top1_attacked: float = 0.9
    """Share of attacked frames whose label stays, in [0, 1]."""
    max_abs_logits: float = 0.5
    """Largest difference of a logit, as a share of the largest logit where that is above 1."""

    def __post_init__(self) -> None:
        shares = (self.top1_clean, self.top1_attacked)
        if not all(0 <= share <= 1 for share in shares) or not 0 <= self.max_abs_logits < math.inf:
            raise ConfigError(
                f"expected shares in [0, 1] and a finite difference of logits of at least 0, got {shares} and "
                f"{self.max_abs_logits}; the defaults are 0.98, 0.9 and 0.5"
            )


def measure_agreement(
    artifact: str,
    int8_bytes: bytes,
    fp32_name: str,
    fp32_bytes: bytes,
    probes: Sequence[ProbeFrames],
    *,
    seed: int,
    config: AgreementConfig,
) -> tuple[ParityRecord, ...]:
    """Run both graphs on every kind of frames; one record a kind, bound to both graphs by their hashes.

    FP16 values, where the rest of the graph has any, are rounded as they are on what it is made for.

    Raises:
        ArtifactError: an output is not finite.
    """
    bound: dict[str, JsonValue] = {"artifact_sha256": sha256_of_bytes(int8_bytes),
                                   "against_sha256": sha256_of_bytes(fp32_bytes)}  # fmt: skip
    if has_fp16(int8_bytes):
        bound["arithmetic"] = ROUNDED
    records = []
    with OrtRunner(rounded_twin(int8_bytes)) as int8, OrtRunner(fp32_bytes) as fp32:
        for probe in probes:
            got, wanted = _run(int8, probe.frames_NHWC), _run(fp32, probe.frames_NHWC)
            records.append(_record(artifact, fp32_name, probe, got, wanted, bound, seed=seed, config=config))
    return tuple(records)


def require_agreement(records: Sequence[ParityRecord]) -> None:
    """Raise ArtifactError where a record did not pass."""
    for record in records:
        if not record.passed:
            raise ArtifactError(
                f"{record.artifact}: expected the label of {record.against} on {record.settings['top1_at_least']} of "
                f"{record.n} {record.frames} frames or more, and logits within {record.tolerance:.3g}, got "
                f"{record.top1_agreement:.3f} and {record.max_abs_logits:.3g}; nothing was written: --auto leaves the "
                "costliest layers in floating point, more images and --method minmax clip less"
            )


def _record(
    artifact: str,
    against: str,
    probe: ProbeFrames,
    got: Outputs,
    wanted: Outputs,
    bound: dict[str, JsonValue],
    *,
    seed: int,
    config: AgreementConfig,
) -> ParityRecord:
    n = len(got.logits_NK)
    if not all(np.isfinite(array).all() for array in (got.logits_NK, got.suspicion_N)):
        raise ArtifactError(f"{artifact}: expected finite outputs on {probe.kind} frames, got NaN or infinity; nothing "
                            "was written: calibrate on other frames, or with --method minmax")  # fmt: skip
    tolerance = config.max_abs_logits * max(1.0, float(np.abs(wanted.logits_NK).max()))
    worst = float(np.abs(got.logits_NK - wanted.logits_NK).max())
    num_same = int((got.logits_NK.argmax(1) == wanted.logits_NK.argmax(1)).sum())
    low, high = wilson_interval(num_same, n)
    limit = config.top1_clean if probe.kind == "clean" else config.top1_attacked
    settings: dict[str, JsonValue] = {
        **probe.settings, **bound,
        "top1_at_least": limit,
        "top1_interval_95": [low, high],
        "relative_tolerance": config.max_abs_logits,
        "max_abs_suspicion": float(np.abs(got.suspicion_N - wanted.suspicion_N).max()),
    }  # fmt: skip
    return ParityRecord(artifact=artifact, against=against, frames=probe.kind, n=n, seed=seed, settings=settings,
                        max_abs_logits=worst, tolerance=tolerance, top1_agreement=num_same / n,
                        passed=high >= limit and worst <= tolerance)  # fmt: skip


def _run(runner: OrtRunner, frames_NHWC: NDArray[np.uint8]) -> Outputs:
    return joined([runner(frames_NHWC[start : start + _BATCH]) for start in range(0, len(frames_NHWC), _BATCH)])
