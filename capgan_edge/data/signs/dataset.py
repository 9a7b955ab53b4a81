"""Procedural road signs as a labelled set of images: drawn here, never downloaded, the same for the same seed."""

from __future__ import annotations

from typing import Literal

import numpy as np

from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs.catalogue import SIGN_CLASSES
from capgan_edge.data.signs.checks import LARGEST_PX, SMALLEST_PX, check_integer, require_pillow
from capgan_edge.data.signs.scene import draw_sign
from capgan_edge.errors import ConfigError

_DEFAULT_N = {"train": 12_000, "test": 2_000}
_STREAM = {"train": 1, "test": 2}
_LARGEST_BYTES = 4 * 2**30


def load_signs(split: Literal["train", "test"], *, size_px: int = 32, n: int | None = None, seed: int = 0) -> ImageSet:
    """Draw `n` road signs (train 12,000 and test 2,000 by default), classes in turn.

    Image i of a split depends on `seed`, `size_px` and i alone, so that a larger n continues a smaller one. The splits
    draw from separate random streams.

    Raises:
        ConfigError: the split is unknown, a number is out of range, or the images would not fit in memory.
    """
    if split not in _STREAM:
        raise ConfigError(f"expected the split 'train' or 'test', got {split!r}; signs have no other split")
    n = _DEFAULT_N[split] if n is None else n
    check_integer("n", n, len(SIGN_CLASSES))
    check_integer("size_px", size_px, SMALLEST_PX, LARGEST_PX)
    check_integer("seed", seed, 0)
    _check_memory(n, size_px)
    require_pillow()
    labels_N = np.arange(n, dtype=np.int64) % len(SIGN_CLASSES)
    images_NHWC = np.empty((n, size_px, size_px, 3), np.uint8)
    for index in range(n):
        rng = np.random.default_rng([_STREAM[split], index, seed])
        images_NHWC[index] = draw_sign(int(labels_N[index]), size_px=size_px, rng=rng)
    return ImageSet(
        name=f"signs-{size_px}/{split}", images_NHWC=images_NHWC, labels_N=labels_N, class_names=SIGN_CLASSES
    )


def _check_memory(n: int, size_px: int) -> None:
    needed = n * size_px * size_px * 3
    if needed > _LARGEST_BYTES:
        raise ConfigError(
            f"expected signs of at most {_LARGEST_BYTES >> 30} GiB in all, got {n} of {size_px} px "
            f"({needed / 2**30:.1f} GiB); pass a smaller n or size_px"
        )
