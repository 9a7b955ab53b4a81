"""A labelled set of images in memory: what every data source gives and every loop takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """One split of a data set, decoded. Shapes: N images, H height, W width, K classes."""

    name: str
    """What figures call this data, e.g. `cifar10-jpeg/test`."""
    images_NHWC: NDArray[np.uint8]
    """RGB, uint8, [N, H, W, 3]."""
    labels_N: NDArray[np.int64]
    """Class indices in [0, K)."""
    class_names: tuple[str, ...]
    """K names; the index of a name is its label."""

    def __post_init__(self) -> None:
        shape = self.images_NHWC.shape
        if self.images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise DataError(f"{self.name}: expected uint8 images [N, H, W, 3], got {self.images_NHWC.dtype} {shape}")
        if self.labels_N.shape != (shape[0],):
            raise DataError(f"{self.name}: expected one label an image ({shape[0]}), got shape {self.labels_N.shape}")
        if len(self.labels_N) and not (self.labels_N.min() >= 0 and self.labels_N.max() < len(self.class_names)):
            raise DataError(f"{self.name}: expected labels in [0, {len(self.class_names)}), got {self.labels_N.max()}")

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.images_NHWC.shape[1], self.images_NHWC.shape[2]

    def take(self, n: int | None, *, seed: int = 0) -> ImageSet:
        """Return `n` images drawn without replacement, the same ones for the same seed; None or n >= N is all."""
        if n is None or n >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return ImageSet(
            name=self.name,
            images_NHWC=self.images_NHWC[chosen],
            labels_N=self.labels_N[chosen],
            class_names=self.class_names,
        )
