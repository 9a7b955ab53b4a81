"""Verify a bundle: the numeric gate. Each check is passed, failed, or says why it was not made.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.engine_opening import refuse_stale
from capgan_edge.runtime.manifest import MANIFEST, Manifest, manifest_from_json
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.runner import Outputs, Runner

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_export.parity import ParityConfig
    from capgan_export.source import Source

_NUM_FRAMES = 8
_TOLERANCE = {"fp32": 1e-3, "fp16": 5e-3, "int8": 2e-2}
"""Batch-1 against batch-N, as a share of the largest logit where that is above 1. A sum in another order moves a value
across a rounding step now and then, and the step is that of the precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was held against the bundle."""

    name: str
    verdict: Literal["passed", "failed", "not made"]
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What came of all the checks."""

    bundle: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; a check that was not made does not fail."""
        return all(check.verdict != "failed" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {"bundle": self.bundle, "passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def verify_bundle(
    path: Path,
    *,
    frames: ImageSet | None = None,
    against: Source | None = None,
    parity: ParityConfig | None = None,
) -> Verification:
    """Check the bundle at `path`: hashes, contract, finite outputs, batch independence, the parity on record.

    Args:
        path: the bundle.
        frames: real images of the bundle's size, beside black, white and noise.
        against: purifier and victim that it was made from; parity is then measured again, which needs torch.
        parity: tolerances and frames of that measurement.

    Raises:
        ArtifactError: there is no bundle at `path`, or one that this version cannot read.
    """
    try:
        bundle = Bundle.open(path)
    except ArtifactError as error:
        manifest_from_json(_manifest_bytes(path, error), str(path))  # an unreadable manifest cannot be verified at all
        return Verification(bundle=str(path), checks=(_failed("hashes", str(error)),))
    checks = [_passed("hashes", f"{len(bundle.manifest.files)} files, size and SHA-256 as in the manifest")]
    for name, artifact in bundle.manifest.artifacts.items():
        if name.endswith(".onnx"):
            model_bytes = bundle.read_file(name)
            checks += _graph_checks(name, model_bytes, bundle.manifest, frames)
            checks.append(_recorded_parity(name, artifact.precision, bundle.manifest))
    checks += [_engine_source(bundle, name) for name in bundle.manifest.engines]
    checks.append(_measured_parity(bundle, against, frames, parity))
    return Verification(bundle=str(path), checks=tuple(checks))


def _manifest_bytes(path: Path, error: ArtifactError) -> bytes:
    try:
        return (path / MANIFEST).read_bytes()
    except OSError:
        raise error from None


def _graph_checks(name: str, model_bytes: bytes, manifest: Manifest, frames: ImageSet | None) -> list[Check]:
    try:
        runner = OrtRunner(model_bytes)
    except ArtifactError as error:
        return [_failed(f"{name}: contract", str(error))]
    with runner:
        promised = ((manifest.input.height, manifest.input.width), len(manifest.labels))
        held = (runner.contract.size_px, runner.contract.num_classes)
        names = {output.name for output in manifest.outputs}
        if held != promised or set(runner.contract.output_names) != names:
            came = f"{held} and {sorted(runner.contract.output_names)}"
            return [_failed(f"{name}: contract", f"expected {promised} and {sorted(names)} as promised, got {came}")]
        (height, width), num_classes = promised
        said = f"frames {height}x{width}, {num_classes} classes, {', '.join(runner.contract.output_names)}"
        checks = [_passed(f"{name}: contract", said)]
        try:
            tolerance = _TOLERANCE[manifest.artifacts[name].precision]
            return checks + _output_checks(name, runner, _probes(promised[0], frames), tolerance)
        except ArtifactError as error:
            return [*checks, _failed(f"{name}: runs", str(error))]


def _probes(size_px: tuple[int, int], frames: ImageSet | None) -> dict[str, NDArray[np.uint8]]:
    shape = (_NUM_FRAMES, *size_px, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    probes = {"black": np.zeros(shape, np.uint8), "white": np.full(shape, 255, np.uint8), "noise": noise}
    return probes if frames is None else {frames.name: frames.take(4 * _NUM_FRAMES).images_NHWC, **probes}


def _output_checks(name: str, runner: Runner, probes: dict[str, NDArray[np.uint8]], tolerance: float) -> list[Check]:
    bad, worst = [], 0.0
    for kind, frames_NHWC in probes.items():
        together = runner(frames_NHWC)
        is_probability = bool(((together.suspicion_N >= 0) & (together.suspicion_N <= 1)).all())
        if not all(np.isfinite(array).all() for array in _floats(together)) or not is_probability:
            bad.append(kind)
            continue
        for index in range(0, len(frames_NHWC), 3):
            alone = runner(np.ascontiguousarray(frames_NHWC[index : index + 1]))
            for one, many in zip(_floats(alone), _floats(together), strict=True):
                worst = max(worst, float(np.abs(one[0] - many[index]).max() / max(1.0, np.abs(many).max())))
    kinds = ", ".join(probes)
    finite = f"{name}: finite"
    same = f"{name}: batch 1 equals batch N"
    return [
        _failed(finite, f"NaN, infinity or a suspicion outside [0, 1] on {', '.join(bad)}")
        if bad
        else _passed(finite, kinds),
        (_passed if worst <= tolerance else _failed)(
            same, f"off by {worst:.1e} of the largest, at most {tolerance:.0e}"
        ),
    ]


def _floats(outputs: Outputs) -> list[NDArray[np.float32]]:
    raw = [] if outputs.raw_logits_NK is None else [outputs.raw_logits_NK]
    return [outputs.logits_NK, outputs.suspicion_N, *raw]


def _recorded_parity(name: str, precision: str, manifest: Manifest) -> Check:
    """Parity is on record, passed, and was measured on these very bytes."""
    title = f"{name}: parity on record"
    records = [record for record in manifest.parity if record.artifact == name]
    if not records:
        return _failed(title, f"none for this {precision} graph; export it again")
    for record in records:
        if not record.passed:
            return _failed(title, f"failed on {record.frames} frames, off by {record.max_abs_logits:.2e}")
        if record.settings.get("artifact_sha256") != manifest.files[name].sha256:
            return _failed(title, f"was measured on other bytes than these ({record.frames} frames); export again")
    worst = max(record.max_abs_logits for record in records)
    return _passed(
        title, f"{', '.join(f'{r.n} {r.frames}' for r in records)} frames, logits off by at most {worst:.1e}"
    )


def _engine_source(bundle: Bundle, name: str) -> Check:
    title = f"{name}: of a graph in the bundle"
    try:
        refuse_stale(bundle, name)
    except ArtifactError as error:
        return _failed(title, str(error))
    return _passed(title, f"{bundle.manifest.engines[name].precision}, compiled from the graph that is there")


def _measured_parity(
    bundle: Bundle, against: Source | None, frames: ImageSet | None, config: ParityConfig | None
) -> Check:
    title = "parity measured again"
    if against is None or frames is None:
        return Check(
            name=title, verdict="not made", detail="the bundle holds no torch weights; name them with --against"
        )
    from capgan_export.bundling import ARTIFACT, other_settings, parity_records, purifier_identity
    from capgan_export.parity import ParityConfig

    manifest = bundle.manifest
    held = (manifest.purifier.sha256, manifest.victim.sha256)
    size_px = (manifest.input.height, manifest.input.width)
    identity = purifier_identity(against.purifier, against.name, size_px)
    given = identity.sha256, against.victim.identity["sha256"]
    for part, ours, theirs in zip(("purifier", "victim"), held, given, strict=True):
        if ours != theirs:
            return _failed(
                title, f"the bundle's {part} has the weights {ours[:12]}..., {against.name} has {theirs[:12]}..."
            )
    if differ := other_settings(identity, manifest.purifier):
        return _failed(title, f"{against.name} is another purifier of the bundle's weights: {differ}")
    config = config or ParityConfig()
    try:
        records = parity_records(against.purifier, against.victim, bundle.read_file(ARTIFACT), frames, config)
    except ArtifactError as error:
        return _failed(title, str(error))
    said = "; ".join(
        f"{r.n} {r.frames} frames: logits off by {r.max_abs_logits:.1e} (at most {r.tolerance:.0e}), top-1 agrees on "
        f"{100 * r.top1_agreement:.1f} %" for r in records
    )  # fmt: skip
    return _passed(title, said) if all(record.passed for record in records) else _failed(title, said)


def _passed(name: str, detail: str) -> Check:
    return Check(name=name, verdict="passed", detail=detail)


def _failed(name: str, detail: str) -> Check:
    return Check(name=name, verdict="failed", detail=detail)
