"""The measurements of the demo, in order: attack, export, verify, classify, attack end to end, time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from capgan_benchmarks.demo.attacked import AttackedFrames, attack_frames, make_attacks
from capgan_benchmarks.demo.branches import DEPLOYED as DEPLOYED_OUTPUTS
from capgan_benchmarks.demo.branches import VICTIM_ALONE, branch_of, caller_of
from capgan_benchmarks.demo.config import END_TO_END_NAME, PGD_NAME, DemoConfig
from capgan_benchmarks.demo.figures import ALONE, CLEAN, DEPLOYED
from capgan_benchmarks.demo.scored import Scored, score
from capgan_benchmarks.demo.terminal import Narrator
from capgan_benchmarks.latency.in_turn import Latency, time_in_turn
from capgan_edge.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.runtime.bundle import Bundle
    from capgan_export.source import Source
    from capgan_export.verification import Verification


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the measurements gave."""

    attacked: Mapping[str, AttackedFrames]
    scored: Mapping[str, Scored]
    latencies: Mapping[str, Latency]


def draw(source: Source, config: DemoConfig) -> ImageSet:
    """Draw test signs of the size and the classes that the pair was trained on."""
    from capgan_edge.data.signs import load_signs

    images = load_signs("test", size_px=source.size_px[0], n=config.n, seed=config.seed)
    if images.class_names != source.labels or images.size_px != source.size_px:
        raise ConfigError(
            f"expected weights for the {len(images.class_names)} classes of road signs, square, got {source.name} for "
            f"{len(source.labels)} classes at {source.size_px[0]}x{source.size_px[1]} px; use signs-nano"
        )
    return images


def attack_victim(
    source: Source, images: ImageSet, config: DemoConfig, narrator: Narrator
) -> dict[str, AttackedFrames]:
    """Attack the bare victim: the attacker knows it, and does not know of the purifier."""
    from capgan_export.fused import inference_victim

    victim = inference_victim(source.victim.torch_module())
    held = {}
    for name, attack in make_attacks(config.seed).items():
        with narrator.progress(f"{name} on the bare victim", len(images)) as advance:
            held[name] = attack_frames(name, attack, victim, images, gradient_of="the bare victim", advance=advance)
    return held


def attack_end_to_end(source: Source, images: ImageSet, config: DemoConfig, narrator: Narrator) -> AttackedFrames:
    """Attack purifier and victim together, on the first images alone: classes come in turn, so all are there."""
    from torch import Tensor

    from capgan_export.fused import inference_copy, inference_victim

    purifier, victim = inference_copy(source.purifier), inference_victim(source.victim.torch_module())

    def both(x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = victim(purifier(x_BCHW))
        return logits_BK

    few = first(images, config.num_end_to_end)
    with narrator.progress(f"{PGD_NAME} end to end", len(few)) as advance:
        through = "purifier and victim"
        frames = attack_frames(
            PGD_NAME, make_attacks(config.seed)[PGD_NAME], both, few, gradient_of=through, advance=advance
        )
    return dataclasses.replace(frames, name=END_TO_END_NAME)


def first(images: ImageSet, n: int) -> ImageSet:
    """Return the first n images."""
    return dataclasses.replace(images, images_NHWC=images.images_NHWC[:n], labels_N=images.labels_N[:n])


def export_and_verify(source: Source, images: ImageSet, out: Path) -> tuple[Bundle, Verification]:
    """Export the pair with every output and hold the bundle to the numeric gate.

    Raises:
        ArtifactError: the graph differs from torch, or the bundle did not pass.
    """
    from capgan_export.bundling import export_pair
    from capgan_export.fused import GraphOutputs
    from capgan_export.verification import verify_bundle

    bundle = export_pair(
        source.purifier,
        source.victim,
        labels=source.labels,
        size_px=source.size_px,
        frames=images,
        out=out,
        outputs=GraphOutputs(has_purified=True, has_raw_logits=True),
        name=source.name,
    )
    verification = verify_bundle(out, frames=images)
    if not verification.passed:
        failed = "; ".join(f"{c.name}: {c.detail}" for c in verification.checks if c.verdict == "failed")
        raise ArtifactError(
            f"expected the exported bundle to pass the numeric gate, got {failed}; report this as a bug"
        )
    return bundle, verification


def measure(
    source: Source, bundle: Bundle, images: ImageSet, attacked: Mapping[str, AttackedFrames], config: DemoConfig,
    threads: int, narrator: Narrator,
) -> Measured:  # fmt: skip
    """Score every kind of frames on the bundle's ONNX file, attack end to end, and time it."""
    import capgan_edge

    every = {**attacked, END_TO_END_NAME: attack_end_to_end(source, images, config, narrator)}
    with capgan_edge.load(bundle.path, backend="cpu", threads=threads) as classifier:
        kinds = {CLEAN: images.images_NHWC, **{name: frames.frames_NHWC for name, frames in every.items()}}
        narrator.say(f"classifying {sum(map(len, kinds.values()))} frames through the bundle")
        scored = {
            name: score(name, frames, images.labels_N[: len(frames)], classifier) for name, frames in kinds.items()
        }
    narrator.say("timing one frame: the victim alone, and behind the purifier, in turn")
    model_bytes, frame_NHWC = bundle.read_artifact("fp32"), np.ascontiguousarray(images.images_NHWC[:1])
    branches = {ALONE: VICTIM_ALONE, DEPLOYED: DEPLOYED_OUTPUTS}
    calls = {name: caller_of(branch_of(model_bytes, outputs), frame_NHWC, threads=threads)
             for name, outputs in branches.items()}  # fmt: skip
    return Measured(attacked=every, scored=scored, latencies=time_in_turn(calls, config.latency))
