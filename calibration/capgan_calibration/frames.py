"""A calibration set: frames in a mixture of kinds, checked, and named by the hash of their bytes.

Shapes: N frames, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from capgan_calibration.images import Images
from capgan_calibration.mixture import CLEAN, Mixture
from capgan_edge.errors import DataError
from capgan_edge.runtime.manifest import CalibrationIdentity

if TYPE_CHECKING:
    from capgan_calibration.attacker import Attacker

ENOUGH = 256
"""Fewer frames than this give ranges that depend on which were drawn."""
_MIN_LEVELS = 16
"""A frame that spans fewer of the 256 levels is nearly one colour: images in [0, 1] stored as integers are so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationSet:
    """Frames to draw ranges from, in the order in which they are fed."""

    frames_NHWC: NDArray[np.uint8]
    data: str
    mixture: dict[str, float]
    """Share of each kind as it came out."""
    seed: int
    attack: dict[str, JsonValue]
    sha256: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames_NHWC)

    def identity(self, method: str) -> CalibrationIdentity:
        """Return what the manifest says of these frames, and of the method that drew ranges from them."""
        return CalibrationIdentity(data=self.data, mixture=self.mixture, n=len(self), seed=self.seed,
                                   attack=self.attack, sha256=self.sha256, method=method)  # fmt: skip


def make_calibration_set(images: Images, mixture: Mixture, attacker: Attacker | None, *, seed: int) -> CalibrationSet:
    """Turn images into frames of the mixture, each image once, shuffled before (which becomes what) and after (order).

    Args:
        images: as many as the set is to have.
        mixture: which share becomes what.
        attacker: the pair to attack; None where no frame is to be attacked.
        seed: of both shufflings.

    Raises:
        DataError: one image, copies of one, or images of one colour each.
        ConfigError: too few images for every kind of the mixture.
    """
    warnings = _check_images(images)
    counts, rng = mixture.counts(len(images)), np.random.default_rng(seed)
    shuffled = images.reordered(rng.permutation(len(images)))  # a folder's come sorted by class
    parts, start = [], 0
    for kind, count in counts.items():
        part = shuffled.part(start, start + count)
        parts.append(part.frames_NHWC if kind == CLEAN else _crafted(attacker, kind, part))
        start += count
    frames_NHWC = np.concatenate(parts)[rng.permutation(len(images))]
    attack: dict[str, JsonValue] = {}
    if mixture.needs_attack:
        assert attacker is not None
        attack = {**attacker.settings(has_labels=images.labels_N is not None)}
    shares = {kind: count / len(images) for kind, count in counts.items()}
    return CalibrationSet(frames_NHWC=frames_NHWC, data=images.name, mixture=shares, seed=seed, attack=attack,
                          sha256=sha256_of_frames(frames_NHWC), warnings=warnings)  # fmt: skip


def sha256_of_frames(frames_NHWC: NDArray[np.uint8]) -> str:
    """Return the hash of frames in their order, of their shape and their bytes."""
    digest = sha256(str(frames_NHWC.shape).encode())
    digest.update(np.ascontiguousarray(frames_NHWC).data)
    return digest.hexdigest()


def _crafted(attacker: Attacker | None, kind: str, part: Images) -> NDArray[np.uint8]:
    assert attacker is not None, "a mixture with attacked frames comes with an attacker"
    return attacker.craft(kind, part.frames_NHWC, part.labels_N)


def _check_images(images: Images) -> tuple[str, ...]:
    n = len(images)
    if n < 2 or bool((images.frames_NHWC == images.frames_NHWC[0]).all()):
        came = f"{n} image{'s' if n != 1 else ''}" if n < 2 else f"{n} copies of one image"
        raise DataError(f"{images.name}: expected different images to draw ranges from, got {came}; "
                        f"{ENOUGH} and more of what the camera will see are a good set")  # fmt: skip
    low_N, high_N = images.frames_NHWC.min(axis=(1, 2, 3)), images.frames_NHWC.max(axis=(1, 2, 3))
    num_flat = int((low_N == high_N).sum())
    if num_flat == n:
        raise DataError(
            f"{images.name}: expected images to draw ranges from, got {n} of one colour each (values "
            f"{low_N.min()} to {high_N.max()}); check the camera or the conversion that made them"
        )
    warnings = []
    if n < ENOUGH:
        warnings.append(f"only {n} images: ranges from fewer than {ENOUGH} depend on which were drawn")
    num_dull = int((high_N.astype(np.int16) - low_N < _MIN_LEVELS).sum())
    if num_dull:
        warnings.append(f"{num_dull} of {n} images span fewer than {_MIN_LEVELS} of the 256 levels: "
                        "are they black, or scaled to [0, 1]?")  # fmt: skip
    return tuple(warnings)
