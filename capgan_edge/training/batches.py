"""Batches for training: shuffled, flipped, cropped, and the same for the same (seed, epoch), whatever came before.

That a batch depends on nothing but seed and epoch is what lets a resumed run repeat an unbroken one bit for bit.
Shapes: N images, B batch, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError, DataError

PADDING_PX = 4
SMALLEST_VICTIM_PX, SMALLEST_PURIFIER_PX = 8, 32
"""Shorter side of the images that each kind of network takes."""


class Batches:
    """Augmented batches of one image set, split over the processes of a run."""

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        *,
        seed: int,
        is_mirrored: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ConfigError(
                f"expected a batch size that {world_size} processes can share, got {batch_size}; give a multiple of "
                f"{world_size} with --batch-size"
            )
        if len(images) < batch_size:
            raise ConfigError(
                f"expected at least one batch of {batch_size} images, got {len(images)} in {images.name}; give a "
                "smaller --batch-size, or more images"
            )
        self.images_NCHW = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2)  # uint8 view, channels last
        self.labels_N = torch.from_numpy(images.labels_N)
        self.batch_size = batch_size
        self.seed = seed
        self.is_mirrored = is_mirrored
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        """Batches an epoch; the last partial one is dropped, so that every step has the same statistics."""
        return len(self.labels_N) // self.batch_size

    def epoch(self, epoch: int, *, crop_px: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 RGB in [0, 1], [B, 3, crop, crop], channels last, and labels [B], for this process.

        Raises:
            ConfigError: the crops are larger than the images.
        """
        height_px, width_px = self.images_NCHW.shape[2:]
        if crop_px is not None and not 1 <= crop_px <= min(height_px, width_px):
            raise ConfigError(
                f"expected crops of 1 to {min(height_px, width_px)} px, the images' shorter side, got {crop_px}; "
                "use smaller crops, or none"
            )
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order_N = torch.randperm(len(self.labels_N), generator=generator)
        for step in range(len(self)):
            chosen_B = order_N[step * self.batch_size : (step + 1) * self.batch_size]
            x_BCHW = self.images_NCHW[chosen_B]
            x_BCHW = augment(x_BCHW, generator, is_mirrored=self.is_mirrored, crop_px=crop_px)
            mine = slice(self.rank, None, self.world_size)
            x_BCHW = x_BCHW[mine].float().div_(255)
            yield x_BCHW.contiguous(memory_format=torch.channels_last), self.labels_N[chosen_B][mine]


def augment(x_BCHW: Tensor, generator: torch.Generator, *, is_mirrored: bool, crop_px: int | None) -> Tensor:
    """Mirror half of the images and crop each at random.

    A full-size crop is taken from the image padded by four black pixels (He et al. 2016); a smaller one from the image.
    """
    B, _, H, W = x_BCHW.shape
    if is_mirrored:
        is_flipped_B = torch.rand(B, generator=generator) < 0.5
        x_BCHW = torch.where(is_flipped_B.view(B, 1, 1, 1), x_BCHW.flip(3), x_BCHW)
    height_px, width_px = (H, W) if crop_px is None else (crop_px, crop_px)
    padding = PADDING_PX if crop_px is None else 0
    x_BCHW = F.pad(x_BCHW, (padding,) * 4)
    top_B = torch.randint(H + 2 * padding - height_px + 1, (B,), generator=generator)
    left_B = torch.randint(W + 2 * padding - width_px + 1, (B,), generator=generator)
    rows_BH = (top_B[:, None] + torch.arange(height_px))[:, :, None]
    columns_BW = (left_B[:, None] + torch.arange(width_px))[:, None, :]
    batch_B = torch.arange(B)[:, None, None]
    return x_BCHW.permute(0, 2, 3, 1)[batch_B, rows_BH, columns_BW].permute(0, 3, 1, 2)


def check_size(images: ImageSet, *, smallest_px: int) -> None:
    """Raise DataError where the networks, which halve the size twice, cannot take images of this size."""
    height_px, width_px = images.size_px
    if height_px % 4 or width_px % 4 or min(height_px, width_px) < smallest_px:
        raise DataError(
            f"{images.name}: expected images whose height and width are multiples of 4 and at least {smallest_px} px, "
            f"got {height_px}x{width_px}; resize or pad them first"
        )


def split_validation(images: ImageSet, n: int, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return (the rest, `n` held-out images), so that the best epoch is never chosen on the test split."""
    if not 1 <= n < len(images):
        raise ConfigError(
            f"expected to hold out at least one and fewer than all of the {len(images)} images of {images.name}, "
            f"got {n}; give more images, or hold out fewer"
        )
    order = np.random.default_rng(seed).permutation(len(images))

    def part(name: str, chosen: NDArray[np.int64]) -> ImageSet:
        chosen = np.sort(chosen)
        return ImageSet(
            name=f"{images.name}{name}",
            images_NHWC=images.images_NHWC[chosen],
            labels_N=images.labels_N[chosen],
            class_names=images.class_names,
        )

    return part("", order[n:]), part("/held-out", order[:n])
