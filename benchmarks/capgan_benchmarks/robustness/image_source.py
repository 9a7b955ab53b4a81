"""The test images that a benchmark attacks: of the subject's size and classes, in an order that any n begins.

Shapes: N images, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from capgan_benchmarks.robustness.record import DataIdentity
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CapganError, ConfigError, DataError
from capgan_edge.files import sha256_of_bytes
from capgan_export.source import load_frames

NUM_SIGNS = 2_000
"""Of the test split of road signs, which are drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """Where test images come from, and what they must be."""

    subject: str
    """Who is attacked, for messages."""
    source: str | Path
    """As `capgan_edge.data.load` takes it."""
    is_own: bool
    """Whether it is what the subject was trained on, or was named now."""
    labels: tuple[str, ...]
    size_px: tuple[int, int]

    def load(self, n: int | None, seed: int, *, takes_fewer: bool = False) -> tuple[ImageSet, int]:
        """Return n images, or all, and how many there are; with `takes_fewer`, all where there are fewer than n.

        Of the same seed, fewer images are the first of more: a slow attack on fewer is then on some of the same ones.
        Signs are drawn in turn, so that the first n are as good as any and the seed chooses nothing.

        Raises:
            DataError: n is larger than the data, or it is of other classes than the subject's.
            ConfigError: it is of another size.
        """
        is_drawn = str(self.source).partition(":")[0] == "signs"
        if is_drawn and not takes_fewer:
            _require_as_many(n, NUM_SIGNS, "the drawn signs")  # before they are drawn, which takes a while
        num_drawn = min(NUM_SIGNS if n is None else max(n, len(self.labels)), NUM_SIGNS)
        images = self._loaded(num_drawn)
        num_available = NUM_SIGNS if is_drawn else len(images)
        if not takes_fewer:
            _require_as_many(n, num_available, images.name)
        if is_drawn:
            chosen = np.arange(num_available)[:n]
        else:
            chosen = np.random.default_rng(seed).permutation(num_available)[:n]
        return (
            replace(images, images_NHWC=np.ascontiguousarray(images.images_NHWC[chosen]),
                    labels_N=images.labels_N[chosen].copy()),
            num_available,
        )  # fmt: skip

    def _loaded(self, num_drawn: int) -> ImageSet:
        if self.is_own:
            try:
                return load_frames(self.source, self.size_px, num_frames=num_drawn, labels=self.labels)
            except CapganError as error:
                error.args = (f"{self.subject}'s own data: {error} (other images: --data)",)
                raise
        images = load_frames(self.source, self.size_px, num_frames=num_drawn)
        if images.class_names != self.labels:
            raise DataError(
                f"expected images of {self.subject}'s {len(self.labels)} classes ({', '.join(self.labels[:3])}, ...), "
                f"got {images.name} with {len(images.class_names)} ({', '.join(images.class_names[:3])}, ...), whose "
                "labels mean others; name its own test data with --data"
            )
        return images


def _require_as_many(n: int | None, num_available: int, name: str) -> None:
    if n is not None and n > num_available:
        raise DataError(
            f"expected at most {num_available} images, all that {name} has, got n = {n}; pass a smaller --n, or more "
            "images with --data"
        )


def identity_of(images: ImageSet, *, num_available: int, seed: int) -> DataIdentity:
    """Return which images were attacked, as a record keeps it."""
    return DataIdentity(name=images.name, n=len(images), num_available=num_available, seed=seed,
                        sha256=images_sha256(images))  # fmt: skip


def images_sha256(images: ImageSet) -> str:
    """Return the hash of frames and labels, in order."""
    return sha256_of_bytes(images.images_NHWC.tobytes() + images.labels_N.tobytes())


def require_data(source: str | Path | None, subject: str) -> str | Path:
    """Return the source, or raise ConfigError where nobody knows one."""
    if source is None:
        raise ConfigError(
            f"expected test images for {subject}, whose own are unknown since its torch pair is not at hand, got none; "
            "name them with --data"
        )
    return source
