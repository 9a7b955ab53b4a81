"""Batches: the same for the same seed and epoch, flips and crops as numpy makes them, shards that add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.training.batches import Batches, augment, check_size, split_validation


def make_images(n: int = 12, height_px: int = 8, width_px: int = 12) -> ImageSet:
    """Return random images whose first pixel is their index, and their index modulo three as label."""
    images_NHWC = np.random.default_rng(0).integers(1, 256, (n, height_px, width_px, 3), dtype=np.uint8)
    return ImageSet(name="random", images_NHWC=images_NHWC, labels_N=np.arange(n) % 3, class_names=("a", "b", "c"))


def epoch_of(batches: Batches, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(batches.epoch(epoch))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    size=st.sampled_from([(8, 8), (8, 12), (16, 4)]),
    crop_px=st.sampled_from([None, 4, 3]),
    is_mirrored=st.booleans(),
)
def test_flips_and_crops_are_those_of_numpy(
    seed: int, size: tuple[int, int], crop_px: int | None, is_mirrored: bool
) -> None:
    H, W = size
    x_BHWC = np.random.default_rng(seed).integers(0, 256, (6, H, W, 3), dtype=np.uint8)
    got = augment(
        torch.from_numpy(x_BHWC).permute(0, 3, 1, 2), torch.Generator().manual_seed(seed), is_mirrored=is_mirrored,
        crop_px=crop_px,
    )  # fmt: skip
    pad, (h, w) = (4, (H, W)) if crop_px is None else (0, (crop_px, crop_px))
    generator = torch.Generator().manual_seed(seed)
    flipped = (torch.rand(6, generator=generator) < 0.5).tolist() if is_mirrored else [False] * 6
    tops = torch.randint(H + 2 * pad - h + 1, (6,), generator=generator).tolist()
    lefts = torch.randint(W + 2 * pad - w + 1, (6,), generator=generator).tolist()
    for i in range(6):
        image_HWC = x_BHWC[i, :, ::-1] if flipped[i] else x_BHWC[i]
        image_HWC = np.pad(image_HWC, ((pad, pad), (pad, pad), (0, 0)))
        by_hand = image_HWC[tops[i] : tops[i] + h, lefts[i] : lefts[i] + w]
        np.testing.assert_array_equal(got[i].permute(1, 2, 0).numpy(), by_hand)


def test_about_half_of_the_images_are_mirrored_and_crops_reach_every_corner() -> None:
    marked = torch.zeros(2000, 3, 8, 8, dtype=torch.uint8)
    marked[:, :, 0, 0] = 1  # one marked pixel tells flip and offset
    crops = augment(marked, torch.Generator().manual_seed(0), is_mirrored=True, crop_px=None)
    places = {(int(row), int(column)) for row, column in crops[:, 0].nonzero()[:, 1:]}
    assert {(0, 0), (4, 0), (0, 3), (4, 4), (0, 7), (4, 7)} <= places
    whole = augment(marked, torch.Generator().manual_seed(0), is_mirrored=True, crop_px=8)
    assert 900 < int(whole[:, 0, 0, 7].sum()) < 1100
    assert 900 < int(whole[:, 0, 0, 0].sum()) < 1100


def test_signs_that_must_not_be_mirrored_are_not() -> None:
    x_BCHW = torch.arange(8, dtype=torch.uint8).repeat(64, 3, 8, 1)
    crops = augment(x_BCHW, torch.Generator().manual_seed(0), is_mirrored=False, crop_px=4).int()
    assert (crops.diff(dim=3) == 1).all()


def test_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    first, second = Batches(make_images(), 4, seed=1), Batches(make_images(), 4, seed=1)
    epoch_of(first, 0)
    epoch_of(first, 1)
    torch.rand(7)
    for (x, y), (x_again, y_again) in zip(epoch_of(first, 2), epoch_of(second, 2), strict=True):
        assert torch.equal(x, x_again)
        assert torch.equal(y, y_again)
    others = (epoch_of(first, 3), epoch_of(Batches(make_images(), 4, seed=2), 2))
    for other in others:
        assert not torch.equal(other[0][0], epoch_of(first, 2)[0][0])


def test_an_epoch_has_every_image_once_with_its_own_label() -> None:
    images = make_images()
    plain_NCHW = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255
    batches = Batches(images, 4, seed=0, is_mirrored=False)
    seen = []
    for x_BCHW, y_B in batches.epoch(0):
        for x_CHW, y in zip(x_BCHW, y_B, strict=True):
            padded = torch.nn.functional.pad(plain_NCHW, (4,) * 4)
            windows = padded.unfold(2, 8, 1).unfold(3, 12, 1)  # every crop there is, of every image
            index = int((windows == x_CHW[None, :, None, None]).all(-1).all(-1).all(1).any(-1).any(-1).nonzero()[0])
            assert int(y) == index % 3
            seen.append(index)
    assert sorted(seen) == list(range(12))


def test_the_last_partial_batch_is_dropped() -> None:
    batches = Batches(make_images(11), 4, seed=0)
    assert len(batches) == 2
    assert [len(y) for _, y in batches.epoch(0)] == [4, 4]


def test_batches_are_float_rgb_in_0_to_1_and_channels_last() -> None:
    x_BCHW, y_B = next(Batches(make_images(), 4, seed=0).epoch(0, crop_px=4))
    assert x_BCHW.shape == (4, 3, 4, 4)
    assert x_BCHW.dtype == torch.float32
    assert 0 <= x_BCHW.min() < x_BCHW.max() <= 1
    assert x_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert y_B.dtype == torch.int64


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_shards_of_all_processes_are_the_batch_of_one(world_size: int) -> None:
    whole = epoch_of(Batches(make_images(), 6, seed=3), 1)
    shards = [
        epoch_of(Batches(make_images(), 6, seed=3, rank=rank, world_size=world_size), 1) for rank in range(world_size)
    ]
    for step, (x_BCHW, y_B) in enumerate(whole):
        assert {len(shard[step][1]) for shard in shards} == {6 // world_size}
        for rank, shard in enumerate(shards):
            assert torch.equal(shard[step][0], x_BCHW[rank::world_size])
            assert torch.equal(shard[step][1], y_B[rank::world_size])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 5, "world_size": 2}, "2 processes can share, got 5; give a multiple of 2 with --batch-size"),
        ({"batch_size": 13}, "one batch of 13 images, got 12 in .*; give a smaller --batch-size"),
    ],
)
def test_a_batch_that_cannot_be_made_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Batches(make_images(), options["batch_size"], seed=0, world_size=options.get("world_size", 1))


@pytest.mark.parametrize("crop_px", [0, 9, 12])
def test_a_crop_larger_than_the_images_is_refused(crop_px: int) -> None:
    with pytest.raises(ConfigError, match=f"expected crops of 1 to 8 px.*got {crop_px}"):
        next(Batches(make_images(), 4, seed=0).epoch(0, crop_px=crop_px))


def test_the_held_out_images_are_a_partition_drawn_by_the_seed() -> None:
    images = make_images(40)
    rest, held_out = split_validation(images, 10, seed=0)
    assert (len(rest), len(held_out)) == (30, 10)
    parts = np.concatenate([rest.images_NHWC, held_out.images_NHWC])
    assert {p.tobytes() for p in parts} == {p.tobytes() for p in images.images_NHWC}
    again, other = split_validation(images, 10, seed=0)[1], split_validation(images, 10, seed=1)[1]
    np.testing.assert_array_equal(held_out.images_NHWC, again.images_NHWC)
    assert not np.array_equal(held_out.images_NHWC, other.images_NHWC)


@pytest.mark.parametrize("n", [-1, 0, 12, 13])
def test_holding_out_nothing_or_everything_is_refused(n: int) -> None:
    with pytest.raises(ConfigError, match=f"fewer than all of the 12 images.*got {n}"):
        split_validation(make_images(), n, seed=0)


@pytest.mark.parametrize(("height_px", "width_px"), [(30, 32), (32, 30), (28, 28)])
def test_a_size_that_the_networks_cannot_halve_twice_or_that_is_too_small_is_refused(
    height_px: int, width_px: int
) -> None:
    with pytest.raises(DataError, match=f"multiples of 4 and at least 32 px, got {height_px}x{width_px}"):
        check_size(make_images(2, height_px, width_px), smallest_px=32)
    check_size(make_images(2, 32, 36), smallest_px=32)
