"""Images to calibrate on and to check with, of the graph's size, in an order that the seed alone decides.

Shapes: N images, H height, W width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import DataError
from capgan_edge.runtime.frames import fit_frames

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet

_DRAWN = re.compile(r"signs(?::(\d{1,6}))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Frames of the graph's size, with labels where they are known to be the classifier's."""

    name: str
    """What figures call them, never a path."""
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.frames_NHWC)

    def reordered(self, order_N: NDArray[np.intp]) -> Images:
        """Return the images at these positions, in this order."""
        labels_N = None if self.labels_N is None else self.labels_N[order_N]
        return Images(name=self.name, frames_NHWC=self.frames_NHWC[order_N], labels_N=labels_N)

    def part(self, start: int, stop: int) -> Images:
        """Return the images from `start` up to `stop`."""
        labels_N = None if self.labels_N is None else self.labels_N[start:stop]
        return Images(name=self.name, frames_NHWC=self.frames_NHWC[start:stop], labels_N=labels_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """Which images, how many, and what the graph takes."""

    source: str | Path
    """`signs`, a folder or a zip of `train/` and `test/`, a known name, or a folder of images without labels."""
    size_px: tuple[int, int]
    labels: tuple[str, ...]
    """The classifier's; data of other classes loses its labels."""
    num_train: int
    """Images to calibrate on, and those to rank layers with."""
    num_check: int
    seed: int = 0
    is_resized: bool = False
    """Bring images of another size to the graph's; otherwise they are refused."""


def load_images(request: ImageRequest, say: Callable[[str], None]) -> tuple[Images, Images]:
    """Return images to calibrate on (the train split) and to check with (the test split), fewer where there are fewer.

    A folder without `train/` and `test/` has neither labels nor splits: what calibration leaves is checked with, or
    where it leaves too little, the same images once more, and `say` is told.

    Raises:
        DataError: the images are missing, corrupt, or of another size than the graph's.
    """
    source = request.source
    drawn = _DRAWN.fullmatch(source) if isinstance(source, str) else None
    if drawn is not None:
        return _drawn_signs(request, int(drawn[1] or request.size_px[0]), say)
    from capgan_edge.data.sources import find_source, load

    path = find_source(source)
    if path.is_dir() and not _has_splits(path):
        return _from_flat_folder(path, request, say)
    train, test = load(source, "train"), load(source, "test")
    return _fitted(train, request, request.num_train, say), _fitted(test, request, request.num_check, lambda _: None)


def _drawn_signs(request: ImageRequest, size_px: int, say: Callable[[str], None]) -> tuple[Images, Images]:
    from capgan_edge.data.signs import SIGN_CLASSES, load_signs

    def draw(split: str, n: int) -> ImageSet:
        return load_signs("train" if split == "train" else "test", size_px=size_px, n=max(n, len(SIGN_CLASSES)))

    train = _fitted(draw("train", request.num_train), request, request.num_train, say)
    return train, _fitted(draw("test", request.num_check), request, request.num_check, lambda _: None)


def _has_splits(path: Path) -> bool:
    from capgan_edge.data.archive import is_archive

    nested = [child for child in path.iterdir() if child.is_dir()]
    return is_archive(path) or any((root / split).is_dir() for root in (path, *nested) for split in ("train", "test"))


def _fitted(images: ImageSet, request: ImageRequest, n: int, say: Callable[[str], None]) -> Images:
    """Return `n` images, shuffled by the seed, at the graph's size."""
    if images.size_px != request.size_px:
        _refuse_size(images.name, images.size_px, request)
    order = np.random.default_rng(request.seed).permutation(len(images))[:n]
    labels_N = images.labels_N[order] if images.class_names == request.labels else None
    if labels_N is None:
        say(f"{images.name} has other classes than the bundle: its labels are not used")
    frames_NHWC = fit_frames(images.images_NHWC[order], request.size_px)
    return Images(name=images.name, frames_NHWC=frames_NHWC, labels_N=labels_N)


def _from_flat_folder(path: Path, request: ImageRequest, say: Callable[[str], None]) -> tuple[Images, Images]:
    from capgan_edge.runtime.image_files import find_images, read_image

    files = find_images([path])
    order = np.random.default_rng(request.seed).permutation(len(files))[: request.num_train + request.num_check]
    frames = []
    for index in order:
        frame_HWC = read_image(files[index])
        if frame_HWC.shape[:2] != request.size_px:
            _refuse_size(str(files[index]), (frame_HWC.shape[0], frame_HWC.shape[1]), request)
        frames.append(frame_HWC)
    images = Images(name=path.resolve().name, frames_NHWC=fit_frames(frames, request.size_px), labels_N=None)
    train, check = images.part(0, request.num_train), images.part(request.num_train, len(images))
    if len(check) < request.num_check:
        check = images.part(0, request.num_check)
        say(f"{images.name} has no test split, and too few images for one: checks reuse those of the calibration")
    return train, check


def _refuse_size(name: str, came: tuple[int, int], request: ImageRequest) -> None:
    if not request.is_resized:
        height, width = request.size_px
        raise DataError(
            f"{name}: expected images of {height}x{width} px (height x width) as the graph takes, got "
            f"{came[0]}x{came[1]}; resize them, or pass --resize to have it done here"
        )
