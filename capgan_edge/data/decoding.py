"""Image files to one uint8 array. Shapes: N images, H height, W width; RGB."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.decoded import Skipped
from capgan_edge.data.tree import MAX_FILE_BYTES, Member, Tree
from capgan_edge.errors import DataError, MissingDependencyError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")
"""The only decoders that are let near the bytes, whatever a file's name says."""
NUM_THREADS = 2
NUM_PER_ROUND = 512
NUM_FOR_PROGRESS_BAR = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """The images of `members` that could be read, in their order."""

    images_NHWC: NDArray[np.uint8]
    kept: NDArray[np.intp]
    """Positions in `members` of the images kept."""
    skipped: tuple[Skipped, ...]


def pixels_from_bytes(data: bytes) -> NDArray[np.uint8]:
    """Return the image in `data` as RGB [H, W, 3]; gray is repeated, 16 bits become 8, alpha is dropped."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.mode.startswith("I"):  # 16 bits of gray, which Pillow would clip and not scale
            gray_HW = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(gray_HW[:, :, None], 3, axis=2)
        if image.mode == "F":
            raise ValueError("floating-point pixels")
        if image.mode == "P":
            return np.asarray(image.convert("RGBA").convert("RGB"))
        return np.asarray(image.convert("RGB"))


def stack_images(tree: Tree, members: Sequence[Member]) -> Stack:
    """Decode `members`; one that is no readable image is left out and named.

    Raises:
        DataError: two images differ in size, one is a decompression bomb, or all together do not fit in memory.
    """
    images_NHWC: NDArray[np.uint8] | None = None
    kept: list[int] = []
    skipped: list[Skipped] = []
    with closing(_decoded(tree, members)) as decoded:
        for index, (member, pixels_HWC) in enumerate(decoded):
            if isinstance(pixels_HWC, Skipped):
                skipped.append(pixels_HWC)
                continue
            if images_NHWC is None:
                images_NHWC = _room(tree, len(members), pixels_HWC.shape)
            elif pixels_HWC.shape != images_NHWC.shape[1:]:
                raise _mixed_sizes(tree, members[kept[0]], images_NHWC.shape[1:], member, pixels_HWC.shape)
            images_NHWC[len(kept)] = pixels_HWC
            kept.append(index)
    if images_NHWC is None:
        images_NHWC = np.empty((0, 0, 0, 3), np.uint8)
    return Stack(images_NHWC=images_NHWC[: len(kept)], kept=np.asarray(kept, dtype=np.intp), skipped=tuple(skipped))


def _decoded(
    tree: Tree, members: Sequence[Member]
) -> Generator[tuple[Member, NDArray[np.uint8] | Skipped], None, None]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "reading image files", "cpu") from error

    Image.init()  # here, so that two threads do not register the decoders at once
    with warnings.catch_warnings(), ThreadPoolExecutor(NUM_THREADS) as pool, _progress(tree, len(members)) as advance:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(members), NUM_PER_ROUND):
            part = members[start : start + NUM_PER_ROUND]
            yield from zip(part, pool.map(lambda member: _decode_one(tree, member), part), strict=True)
            advance(len(part))


def _decode_one(tree: Tree, member: Member) -> NDArray[np.uint8] | Skipped:
    from PIL import Image, UnidentifiedImageError

    if member.num_bytes == 0:
        return Skipped(name=member.name, reason="no bytes")
    if member.num_bytes > MAX_FILE_BYTES:
        return Skipped(name=member.name, reason=f"larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return pixels_from_bytes(tree.read(member))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{tree.path}: expected images of at most {Image.MAX_IMAGE_PIXELS} pixels, got {member.name}, "
            "which may be a decompression bomb; remove it"
        ) from error
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return Skipped(name=member.name, reason=f"not one of {', '.join(FORMATS)}")
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        return Skipped(name=member.name, reason=" ".join(str(error).split()) or type(error).__name__)


def _room(tree: Tree, num_images: int, shape_HWC: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        return np.empty((num_images, *shape_HWC), np.uint8)
    except MemoryError as error:
        gib = num_images * float(np.prod(shape_HWC)) / 2**30
        raise DataError(
            f"{tree.path}: expected images that fit in memory, got {num_images} of {_size(shape_HWC)}, {gib:.1f} GiB; "
            "resize them or take fewer"
        ) from error


def _mixed_sizes(
    tree: Tree, first: Member, first_HWC: tuple[int, ...], other: Member, other_HWC: tuple[int, ...]
) -> DataError:
    return DataError(
        f"{tree.path}: expected images of one size, got {first.name} of {_size(first_HWC)} and "
        f"{other.name} of {_size(other_HWC)} (width x height); resize all to one size, for example with "
        f"ImageMagick: mogrify -resize '{_size(first_HWC)}!' {other.name}"
    )


def _size(shape_HWC: tuple[int, ...]) -> str:
    return f"{shape_HWC[1]}x{shape_HWC[0]}"


@contextmanager
def _progress(tree: Tree, num_images: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal where there is something to wait for; give what advances it."""
    if num_images < NUM_FOR_PROGRESS_BAR or not sys.stderr.isatty():
        yield lambda num_done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"decoding {tree.path.name}", total=num_images)
        yield lambda num_done: progress.update(task, advance=num_done)
