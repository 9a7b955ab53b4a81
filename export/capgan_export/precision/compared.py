"""The frames on which two precisions are compared: those that are given, the pair's own, or synthetic ones, said aloud.

A bundle holds no torch weights, so attacked frames are made where its pair is at hand, or by the caller.
Shapes: N frames, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capgan_edge.errors import CapganError, ConfigError, MissingDependencyError
from capgan_export.bundling import chosen_frames
from capgan_export.parity import ParityConfig, ProbeFrames

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.runtime.manifest import Manifest
    from capgan_export.source import Source

_GRID = 4
"""Synthetic frames are this many flat patches a side, under noise: edges and areas, as photographs have."""


def compared_frames(
    manifest: Manifest, frames: ImageSet | None, attacked: ProbeFrames | None, config: ParityConfig
) -> tuple[list[ProbeFrames], list[str]]:
    """Return clean and attacked frames of the bundle's size, and a remark on each that is a stand-in or lacking.

    Args:
        manifest: of the bundle; the pair of its very weights (the zoo's, or a run's) is attacked, where it is at hand.
        frames: real images; None is the data of that pair.
        attacked: frames that the caller attacked; then nothing is attacked here.
        config: how many frames, and the seed.

    Raises:
        ConfigError: the frames are of another size, or too few.
    """
    size_px = (manifest.input.height, manifest.input.width)
    remarks: list[str] = []
    twin = _twin(manifest, remarks) if frames is None or attacked is None else None
    if frames is None and twin is not None:
        frames = _frames_of(twin, config, remarks)
    if frames is None:
        remarks.append("no real frames were given: synthetic ones stand in; name images to compare on")
        given = [_synthetic(size_px, config)]
    else:
        _refuse_size(frames.size_px, size_px, frames.name)
        chosen = chosen_frames(frames, config)
        given = [ProbeFrames(kind="clean", frames_NHWC=chosen.images_NHWC, settings={"data": chosen.name})]
        if attacked is None and twin is not None:
            from capgan_export.reference import probe_frames

            return probe_frames(twin.victim, chosen.images_NHWC, data=chosen.name, seed=config.seed), remarks
    if attacked is not None:
        _refuse_size(attacked.frames_NHWC.shape[1:3], size_px, f"{attacked.kind} frames")
        return [*given, attacked], remarks
    remarks.append("no attacked frames: there are no torch weights here to attack; pass frames that were attacked")
    return given, remarks


def _refuse_size(came: tuple[int, ...], size_px: tuple[int, int], name: str) -> None:
    if tuple(came) != size_px:
        raise ConfigError(
            f"expected frames of {size_px[0]}x{size_px[1]} px, got {name} of {came[0]}x{came[1]}; resize the images to "
            "the bundle's size"
        )


def _twin(manifest: Manifest, remarks: list[str]) -> Source | None:
    """Return the pair that the bundle was made from, by its very weights: one of the zoo's, or a run under ./runs."""
    from capgan_edge import zoo
    from capgan_export.gate.twin import find_twin

    name = manifest.purifier.name
    try:
        twin = find_twin(manifest)
        if twin is None and name in zoo.names():
            zoo.load(name)  # where torch is missing, that is why
            remarks.append(f"the bundle's weights are not those of the zoo's {name}, whose name it has")
    except MissingDependencyError as error:
        remarks.append(f"the pair that the bundle was made from could not be loaded: {error}")
        return None
    return twin


def _frames_of(twin: Source, config: ParityConfig, remarks: list[str]) -> ImageSet | None:
    from capgan_export.source import load_frames

    try:
        return load_frames(twin.data, twin.size_px, num_frames=config.num_frames, labels=twin.labels)
    except CapganError as error:
        remarks.append(f"the data that the pair was trained on is not here ({error})")
        return None


def _synthetic(size_px: tuple[int, int], config: ParityConfig) -> ProbeFrames:
    rng = np.random.default_rng(config.seed)
    patches = rng.integers(0, 256, (config.num_frames, _GRID, _GRID, 3))
    row_of, column_of = (np.arange(side) * _GRID // side for side in size_px)
    noise_NHWC = rng.normal(0, 8, (config.num_frames, *size_px, 3))
    frames_NHWC = np.clip(np.rint(patches[:, row_of][:, :, column_of] + noise_NHWC), 0, 255).astype(np.uint8)
    return ProbeFrames(kind="synthetic", frames_NHWC=frames_NHWC,
                       settings={"data": f"{_GRID}x{_GRID} random patches under noise of 8 levels"})  # fmt: skip
