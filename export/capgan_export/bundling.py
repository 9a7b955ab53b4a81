"""From a purifier and a victim to a bundle: export, hold against torch, write; what fails is not written."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import (
    ArtifactRecord,
    InputContract,
    Manifest,
    OutputSpec,
    ParityRecord,
    PurifierIdentity,
    VictimIdentity,
)
from capgan_edge.runtime.replacement import refuse_target
from capgan_export.parity import ParityConfig, measure_parity, require_parity

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victims import Victim
    from capgan_export.fused import GraphOutputs

ARTIFACT = "model.fp32.onnx"
_TOOLS = ("capgan-edge", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def export_pair(
    purifier: Purifier,
    victim: Victim,
    *,
    labels: Sequence[str],
    size_px: tuple[int, int],
    frames: ImageSet,
    out: Path,
    outputs: GraphOutputs | None = None,
    name: str = "purifier",
    parity: ParityConfig | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Fuse, export, check parity, and write the bundle at `out`.

    Args:
        purifier: T_AC.
        victim: what it protects.
        labels: K names, in the victim's order.
        size_px: height and width that the graph takes.
        frames: images of that size, on which parity is measured.
        out: the directory to make.
        outputs: what the graph gives beside logits and suspicion; nothing by default.
        name: what the manifest calls the purifier.
        parity: tolerances, batches, and how many of the frames.
        overwrite: replace a bundle that is there.

    Raises:
        ConfigError: labels, sizes and victim contradict one another.
        ArtifactError: the graph differs from torch, or something is in the way at `out`; nothing was written.
    """
    from capgan_export.fused import GraphOutputs
    from capgan_export.onnx_graph import OPSET, graph_from_pair

    outputs, parity = outputs or GraphOutputs(), parity or ParityConfig()
    victim.check_fits(tuple(labels), size_px)
    if frames.size_px != tuple(size_px):
        raise ConfigError(
            f"expected frames of {size_px[0]}x{size_px[1]} px to check parity on, got {frames.name} of "
            f"{frames.size_px[0]}x{frames.size_px[1]}; pass data of the size that purifier and victim were trained at"
        )
    chosen_frames(frames, parity)
    refuse_target(out, overwrite=overwrite)
    identity = purifier_identity(purifier, name, size_px)
    model_bytes = graph_from_pair(purifier, victim, size_px=size_px, outputs=outputs,
                                  properties={"preset": identity.preset, "precision": "fp32"})  # fmt: skip
    records = parity_records(purifier, victim, model_bytes, frames, parity)
    require_parity(records)
    manifest = Manifest(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        labels=tuple(labels),
        input=InputContract(height=size_px[0], width=size_px[1]),
        outputs=output_specs(outputs, len(labels), size_px),
        artifacts={ARTIFACT: ArtifactRecord(precision="fp32", opset=OPSET)},
        purifier=identity,
        victim=victim_identity(victim, size_px),
        tools=_tools(),
        parity=records,
    )
    return write_bundle(out, manifest, {ARTIFACT: model_bytes}, overwrite=overwrite)


def parity_records(
    purifier: Purifier, victim: Victim, model_bytes: bytes, frames: ImageSet, config: ParityConfig
) -> tuple[ParityRecord, ...]:
    """Hold a graph against the modules that it was made from, on clean and attacked frames."""
    from capgan_export.reference import probe_frames, reference_of

    chosen = chosen_frames(frames, config)
    reference, against = reference_of(purifier, victim)
    probes = probe_frames(victim, chosen.images_NHWC, data=chosen.name, seed=config.seed)
    return measure_parity(ARTIFACT, model_bytes, reference, against, probes, config)


def chosen_frames(frames: ImageSet, config: ParityConfig) -> ImageSet:
    """Return the frames that parity is measured on, the same ones for the same seed."""
    chosen = frames.take(config.num_frames, seed=config.seed)
    if len(chosen) < sum(config.batches):
        raise ConfigError(
            f"expected at least {sum(config.batches)} frames to check parity on, got {len(chosen)} in {frames.name}; "
            "pass a data set with more images"
        )
    return chosen


def purifier_identity(purifier: Purifier, name: str, size_px: tuple[int, int]) -> PurifierIdentity:
    """Describe a purifier; the hash is of its weights alone as safetensors, whichever file they came in."""
    from capgan_edge.models.cost import cost_of
    from capgan_edge.models.presets import preset_name
    from capgan_edge.models.weights import weights_sha256

    config = purifier.config
    cost = cost_of(purifier, height_px=size_px[0], width_px=size_px[1])
    return PurifierIdentity(name=name, preset=preset_name(config), sha256=weights_sha256(purifier),
                            config=asdict(config), macs=cost.macs, parameters=cost.parameters)  # fmt: skip


def other_settings(given: PurifierIdentity, held: PurifierIdentity) -> str:
    """Return which settings of two purifiers differ, `output is direct, not residual`; weights alone do not tell.

    A setting that only one of them has is of another version, and is not compared.
    """
    ours = json.loads(json.dumps(given.config))
    differ = [f"{key} is {ours[key]}, not {value}" for key, value in held.config.items()
              if key in ours and ours[key] != value]  # fmt: skip
    return ", ".join(differ)


def victim_identity(victim: Victim, size_px: tuple[int, int]) -> VictimIdentity:
    """Describe a victim; an ONNX file that does not convert to torch cannot be counted."""
    from capgan_edge.models.cost import cost_of

    name, sha256 = str(victim.identity.get("name") or "victim"), str(victim.identity["sha256"])
    if victim.module is None:
        return VictimIdentity(name=name, sha256=sha256)
    macs = cost_of(victim.module, height_px=size_px[0], width_px=size_px[1]).macs
    return VictimIdentity(name=name, sha256=sha256, macs=macs, parameters=victim.identity.get("parameters"))


def output_specs(outputs: GraphOutputs, num_classes: int, size_px: tuple[int, int]) -> tuple[OutputSpec, ...]:
    """Describe the outputs of the graph contract for the manifest."""
    logits: tuple[int | str, ...] = ("N", num_classes)
    specs = {
        "logits": OutputSpec(name="logits", dtype="float32", shape=logits),
        "suspicion": OutputSpec(name="suspicion", dtype="float32", shape=("N",)),
        "purified": OutputSpec(name="purified", dtype="uint8", shape=("N", *size_px, 3)),
        "raw_logits": OutputSpec(name="raw_logits", dtype="float32", shape=logits),
    }
    return tuple(specs[name] for name in outputs.names)


def _tools() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions
