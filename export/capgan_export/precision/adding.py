"""Add the FP16 graph to a bundle: convert, probe, hold against FP32, write; what fails is not written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord, Manifest, ParityRecord
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.verdicts import without_verdicts
from capgan_export.bundling import ARTIFACT
from capgan_export.parity import ParityConfig, ProbeFrames, joined, measure_parity
from capgan_export.precision.compared import compared_frames
from capgan_export.precision.fp16 import Fp16Graph, fp16_from_fp32
from capgan_export.precision.kept import KeptNode, described
from capgan_export.precision.probe import Peak, probe_frames_for, require_finite
from capgan_export.precision.rounding import ROUNDED, rounded_twin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from capgan_edge.data.images import ImageSet
    from capgan_edge.runtime.runner import Outputs

FP16_ARTIFACT = "model.fp16.onnx"
FP16_PARITY = ParityConfig(tolerance=1e-2, suspicion_tolerance=3e-2, num_levels=8)
"""Twice the worst of what graphs were found to differ by, on 512 clean and attacked frames of signs-nano, 256 of two
cifar10-nanos and of a purifier as the paper's, narrower and with random weights: 4.6e-3 of the largest logit, 1.4e-2
of suspicion (whose threshold each precision has of its own), 4 levels."""
_BATCH = 32


def add_fp16(
    path: Path,
    *,
    frames: ImageSet | None = None,
    attacked: ProbeFrames | None = None,
    overwrite: bool = False,
    parity: ParityConfig = FP16_PARITY,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Make `model.fp16.onnx` from `model.fp32.onnx`; return the bundle with it.

    Args:
        path: the bundle.
        frames: real images of its size, on which FP16 is held against FP32; without any, the data of the pair
            that the bundle was made from (one of the zoo's, or a run under ./runs), or synthetic ones.
        attacked: the same attacked; without any, they are made where that pair is at hand.
        overwrite: make it again where it is there already.
        parity: how far from FP32 it may be.
        say: takes each line for people: what stayed FP32 and why, and how far it is from FP32.

    Raises:
        ArtifactError: the graph does not convert, overflows in FP16, or is too far from FP32; nothing was written.
        ConfigError: the frames are of another size, or too few.
    """
    with locked(path) as bundle:
        source_sha256 = bundle.manifest.files[ARTIFACT].sha256 if ARTIFACT in bundle.manifest.files else None
        there = bundle.manifest.artifacts.get(FP16_ARTIFACT)
        if there is not None and not overwrite:
            _refuse_stale(there, source_sha256)
            say(f"{FP16_ARTIFACT} is there already and was made from this {ARTIFACT}: kept")
            return bundle
        source = bundle.read_artifact("fp32")
        graph = fp16_from_fp32(source)
        say(f"{FP16_ARTIFACT}: {len(graph.kept)} of {graph.num_nodes} nodes stay in FP32")
        for line in described(graph.kept):
            say(f"  {line}")
        compared, remarks = compared_frames(bundle.manifest, frames, attacked, parity)
        for remark in remarks:
            say(remark)
        size_px = (bundle.manifest.input.height, bundle.manifest.input.width)
        probes = probe_frames_for(size_px, compared, seed=parity.seed)
        peak = require_finite(FP16_ARTIFACT, graph.model_bytes, probes)
        say(_said_of_probe(peak, probes))
        records = fp16_parity(graph.model_bytes, source, compared, parity, remarks)
        _require_close(records, say)
        manifest = _with_fp16(bundle.manifest, _record(bundle.manifest, graph, peak, source_sha256), records)
        return grow_bundle(bundle, manifest, {FP16_ARTIFACT: graph.model_bytes})


def fp16_parity(
    fp16_bytes: bytes,
    fp32_bytes: bytes,
    compared: Sequence[ProbeFrames],
    config: ParityConfig = FP16_PARITY,
    remarks: Sequence[str] = (),
) -> tuple[ParityRecord, ...]:
    """Hold the FP16 graph against the FP32 graph, both in ONNX Runtime; one record a kind of frames.

    What counts is the graph with its FP16 values really rounded; what ONNX Runtime makes of it on the CPU, where they
    are not, is in the settings.
    """
    from capgan_edge.files import sha256_of_bytes

    digest = sha256_of_bytes(fp16_bytes)
    with OrtRunner(fp32_bytes, threads=1) as reference:

        def run(frames_NHWC: NDArray[np.uint8]) -> Outputs:
            return joined([reference(frames_NHWC[k : k + _BATCH]) for k in range(0, len(frames_NHWC), _BATCH)])

        against = f"{ARTIFACT} in ONNX Runtime"
        rounded = measure_parity(FP16_ARTIFACT, rounded_twin(fp16_bytes), run, against, compared, config)
        plain = measure_parity(FP16_ARTIFACT, fp16_bytes, run, against, compared, config)
    return tuple(
        record.model_copy(update={"settings": {
            **record.settings,
            "artifact_sha256": digest,
            "arithmetic": ROUNDED,
            "max_abs_logits_in_onnxruntime": in_ort.max_abs_logits,
            "remarks": list(remarks),
        }, "passed": record.passed and in_ort.passed})
        for record, in_ort in zip(rounded, plain, strict=True)
    )  # fmt: skip


def _refuse_stale(there: ArtifactRecord, source_sha256: str | None) -> None:
    if there.source_sha256 != source_sha256:
        raise ArtifactError(
            f"expected an {FP16_ARTIFACT} made from this bundle's {ARTIFACT}, got one made from another graph; "
            "make it again with overwrite=True"
        )


def _require_close(records: Sequence[ParityRecord], say: Callable[[str], None]) -> None:
    for record in records:
        s: dict[str, Any] = record.settings
        said = (
            f"{record.n} {record.frames} frames against FP32: logits off by {record.max_abs_logits:.1e} (at most "
            f"{record.tolerance:.1e}), top-1 agrees on {100 * record.top1_agreement:.1f} %, suspicion off by "
            f"{s['max_abs_suspicion']:.1e}, purified by {s['max_levels_purified']} levels"
        )
        if not record.passed:
            raise ArtifactError(
                f"{FP16_ARTIFACT}: expected FP16 close to FP32, got {said}; nothing was added: keep to FP32 for this "
                "model, or look at which frames were compared"
            )
        say(said)


def _said_of_probe(peak: Peak | None, probes: Sequence[ProbeFrames]) -> str:
    kinds = ", ".join(probe.kind for probe in probes)
    largest = f"; the largest FP16 value is {peak.value:.3g} of 65504, behind {peak.node}" if peak is not None else ""
    return f"finite on {kinds} frames{largest}"


def _record(manifest: Manifest, graph: Fp16Graph, peak: Peak | None, source_sha256: str | None) -> ArtifactRecord:
    settings: dict[str, Any] = {
        "converter": graph.converter,
        "num_nodes": graph.num_nodes,
        "kept_in_fp32": [_grouped(reason, graph.kept) for reason in dict.fromkeys(node.reason for node in graph.kept)],
        "largest_fp16_value": None if peak is None else peak.value,
        "largest_fp16_value_behind": None if peak is None else peak.node,
    }
    return ArtifactRecord(precision="fp16", opset=manifest.artifacts[ARTIFACT].opset, source_sha256=source_sha256,
                          settings=settings)  # fmt: skip


def _grouped(reason: str, kept: Sequence[KeptNode]) -> dict[str, Any]:
    return {"reason": reason, "nodes": [node.name for node in kept if node.reason == reason]}


def _with_fp16(manifest: Manifest, record: ArtifactRecord, parity: Sequence[ParityRecord]) -> Manifest:
    """Return the manifest with the graph in it; what was bound to an older one's hash goes with that."""
    kept = without_verdicts(manifest, FP16_ARTIFACT)
    artifacts = {**kept.artifacts, FP16_ARTIFACT: record}
    return kept.model_copy(update={"artifacts": artifacts, "parity": (*kept.parity, *parity)})
