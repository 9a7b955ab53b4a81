"""What the command `calibrate` does, with progress for people on stderr and the result on stdout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_calibration.adding import ARTIFACT, AddedInt8, CalibrationConfig, add_int8
from capgan_calibration.attacker import AttackConfig, Attacker, check_same_pair
from capgan_calibration.images import ImageRequest, load_images
from capgan_calibration.said import say_result
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.manifest import Manifest

if TYPE_CHECKING:
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateRequest:
    """What the user asked of `calibrate`."""

    bundle: Path
    images: str | None
    """None is the data that the purifier was trained on."""
    config: CalibrationConfig
    attack: AttackConfig
    against: str | None = None
    """The run or zoo name of the bundle's pair; None looks where the bundle's purifier says."""
    victim: str | None = None
    victim_state: Path | None = None
    num_check: int = 256
    """Test images that the result is held against FP32 on."""
    num_rank: int = 128
    """Images beyond the calibration's that layers are ranked with."""
    is_resized: bool = False
    overwrite: bool = False


def run_calibrate(request: CalibrateRequest, *, is_json: bool) -> AddedInt8:
    """Find images and pair, quantise, hold against FP32, write; say what came of it."""
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    bundle = Bundle.open(request.bundle)
    manifest = bundle.manifest
    if ARTIFACT in manifest.artifacts and not request.overwrite:
        raise ArtifactError(f"expected no {ARTIFACT} in {bundle.path}, got one; pass --force to replace it")
    config = request.config
    is_attacking = config.mixture.needs_attack or config.sensitivity is not None or request.against is not None
    source = _find_source(request, manifest) if is_attacking or request.images is None else None
    images, check = load_images(_image_request(request, manifest, source), say)
    if len(images) < config.num_frames:
        say(f"{images.name}: {len(images)} of the {config.num_frames} images asked for are there: calibrating on these")
    attacker = Attacker(source, request.attack) if source is not None and is_attacking else None
    added = add_int8(request.bundle, config, images=images, check=check, attacker=attacker,
                     overwrite=request.overwrite, say=say)  # fmt: skip
    for warning in added.warnings:
        say(f"warning: {warning}")
    if attacker is None:
        say("attacked frames were not checked: no frame was attacked; --against names the pair to attack")
    say_result(added, is_json=is_json)
    return added


def _find_source(request: CalibrateRequest, manifest: Manifest) -> Source:
    """Return the bundle's own pair.

    Raises:
        ConfigError: the pair found is another one.
    """
    from capgan_edge import zoo
    from capgan_export.source import RUNS, find_source

    name = manifest.purifier.name
    spec = request.against
    if spec is None and name in zoo.names():
        spec = name
    elif spec is None and "/" not in name and (RUNS / name).is_dir():
        spec = str(RUNS / name)
    source = find_source(spec, victim=request.victim, victim_state=request.victim_state)
    check_same_pair(source, manifest)
    return source


def _image_request(request: CalibrateRequest, manifest: Manifest, source: Source | None) -> ImageRequest:
    config = request.config
    images: str | Path | None = request.images if source is None or request.images is not None else source.data
    if images is None:
        raise ConfigError("expected images to calibrate on, got none; name them with --images")
    num_rank = request.num_rank if config.sensitivity is not None else 0
    return ImageRequest(source=images, size_px=(manifest.input.height, manifest.input.width), labels=manifest.labels,
                        num_train=config.num_frames + num_rank, num_check=request.num_check, seed=config.seed,
                        is_resized=request.is_resized)  # fmt: skip
