"""Parity: the exported graph in ONNX Runtime against eager torch, on clean and on attacked frames, in several batches.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.manifest import ParityRecord
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.runner import Outputs, Runner

_T = TypeVar("_T", np.uint8, np.float32)
Reference = Callable[[NDArray[np.uint8]], Outputs]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityConfig:
    """How far the graph may be from torch, and on how many frames this is measured."""

    tolerance: float = 1e-3
    """Largest difference of a logit, as a share of the largest logit where that is above 1."""
    suspicion_tolerance: float = 1e-3
    """Largest difference of suspicion, which lies in [0, 1]."""
    num_levels: int = 1
    """Largest difference of a purified value, in levels of 256: rounding may fall either way."""
    batches: tuple[int, ...] = (1, 7, 32)
    """Batch sizes, in turn until the frames are used up; each is used at least once."""
    num_frames: int = 96
    """Frames of each kind."""
    seed: int = 0

    def __post_init__(self) -> None:
        tolerances = (self.tolerance, self.suspicion_tolerance)
        if not all(0 <= t < math.inf for t in tolerances) or not 0 <= self.num_levels <= 255:
            raise ConfigError(
                f"expected finite tolerances of at least 0, and num_levels in [0, 255], got {tolerances} and "
                f"{self.num_levels}; the defaults are 1e-3 and 1"
            )
        if not self.batches or min(self.batches) < 1 or self.num_frames < sum(self.batches):
            raise ConfigError(
                f"expected batch sizes of at least 1 and no fewer frames than their sum, got {self.batches} and "
                f"{self.num_frames}; the defaults are (1, 7, 32) and 96"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeFrames:
    """Frames on which two graphs are compared."""

    kind: str
    """`clean`, `attacked`, or another kind."""
    frames_NHWC: NDArray[np.uint8]
    settings: dict[str, str | int | float]
    """Where they came from, and the attack."""


def measure_parity(
    artifact: str,
    model_bytes: bytes,
    reference: Reference,
    against: str,
    probes: Sequence[ProbeFrames],
    config: ParityConfig,
) -> tuple[ParityRecord, ...]:
    """Run the graph and the reference on every kind of frames; one record a kind, bound to the graph by its hash.

    Raises:
        ArtifactError: an output is not finite, or missing.
    """
    digest = sha256_of_bytes(model_bytes)
    with OrtRunner(model_bytes, threads=1) as runner:
        return tuple(_record(artifact, digest, runner, reference, against, probe, config) for probe in probes)


def require_parity(records: Sequence[ParityRecord]) -> None:
    """Raise ArtifactError where a record did not pass."""
    for record in records:
        if not record.passed:
            s = record.settings
            raise ArtifactError(
                f"{record.artifact}: expected the logits of {record.against} within {record.tolerance:.2e} on "
                f"{record.frames} frames, got {record.max_abs_logits:.2e} (top-1 agrees on "
                f"{100 * record.top1_agreement:.1f} %, suspicion off by {s['max_abs_suspicion']:.2e}, purified by "
                f"{s['max_levels_purified']} levels); no bundle was written: if the victim decides by the batch or "
                "by chance, put it in eval mode, else report this as a bug"
            )


def _record(
    artifact: str,
    digest: str,
    runner: Runner,
    reference: Reference,
    against: str,
    probe: ProbeFrames,
    config: ParityConfig,
) -> ParityRecord:
    got, wanted = _run_in_batches(runner, probe.frames_NHWC, config), reference(probe.frames_NHWC)
    pairs = [(got.logits_NK, wanted.logits_NK)]
    if got.raw_logits_NK is not None:
        pairs.append((got.raw_logits_NK, _held(wanted.raw_logits_NK)))
    worst, limit, agreement, num_ties, is_agreed = 0.0, config.tolerance, 1.0, 0, True
    for ours_NK, theirs_NK in pairs:
        _require_finite(artifact, probe.kind, ours_NK, theirs_NK)
        limit = max(limit, config.tolerance * float(np.abs(theirs_NK).max()))
        worst = max(worst, float(np.abs(ours_NK - theirs_NK).max()))
        is_same_N = ours_NK.argmax(1) == theirs_NK.argmax(1)
        top2_N2 = np.sort(theirs_NK, axis=1)[:, -2:]
        is_tie_N = ~is_same_N & (top2_N2[:, 1] - top2_N2[:, 0] <= 2 * limit)
        agreement, num_ties = min(agreement, float(is_same_N.mean())), num_ties + int(is_tie_N.sum())
        is_agreed = is_agreed and bool((is_same_N | is_tie_N).all())
    suspicion = float(np.abs(got.suspicion_N - wanted.suspicion_N).max())
    _require_finite(artifact, probe.kind, got.suspicion_N, wanted.suspicion_N)
    levels = _levels(got, wanted)
    passed = is_agreed and worst <= limit and suspicion <= config.suspicion_tolerance and levels <= config.num_levels
    settings: dict[str, Any] = {
        **probe.settings,
        "artifact_sha256": digest,
        "batches": list(config.batches),
        "relative_tolerance": config.tolerance,
        "num_ties": num_ties,
        "max_abs_suspicion": suspicion,
        "suspicion_tolerance": config.suspicion_tolerance,
        "max_levels_purified": levels,
    }
    return ParityRecord(artifact=artifact, against=against, frames=probe.kind, n=len(got.logits_NK), seed=config.seed,
                        settings=settings, max_abs_logits=worst, tolerance=limit, top1_agreement=agreement,
                        passed=passed)  # fmt: skip


def _run_in_batches(runner: Runner, frames_NHWC: NDArray[np.uint8], config: ParityConfig) -> Outputs:
    parts, start, turn = [], 0, 0
    while start < len(frames_NHWC):
        size = config.batches[turn % len(config.batches)]
        parts.append(runner(frames_NHWC[start : start + size]))
        start, turn = start + size, turn + 1
    return joined(parts)


def joined(parts: Sequence[Outputs]) -> Outputs:
    """Return the outputs of several batches as those of one."""
    has_purified, has_raw = parts[0].purified_NHWC is not None, parts[0].raw_logits_NK is not None
    return Outputs(
        logits_NK=np.concatenate([part.logits_NK for part in parts]),
        suspicion_N=np.concatenate([part.suspicion_N for part in parts]),
        purified_NHWC=np.concatenate([_held(part.purified_NHWC) for part in parts]) if has_purified else None,
        raw_logits_NK=np.concatenate([_held(part.raw_logits_NK) for part in parts]) if has_raw else None,
    )


def _levels(got: Outputs, wanted: Outputs) -> int:
    if got.purified_NHWC is None:
        return 0
    return int(np.abs(got.purified_NHWC.astype(np.int16) - _held(wanted.purified_NHWC).astype(np.int16)).max())


def _held(array: NDArray[_T] | None) -> NDArray[_T]:
    assert array is not None, "the reference gives every output that the graph gives"
    return array


def _require_finite(artifact: str, kind: str, *arrays: NDArray[np.float32]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ArtifactError(
            f"{artifact}: expected finite outputs on {kind} frames, got NaN or infinity; no bundle was written: check "
            "the weights of purifier and victim"
        )
