"""Image files to RGB arrays: every mode, corrupt files up to a share, bombs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from capgan_edge.data import load
from capgan_edge.data.decoding import pixels_from_bytes
from capgan_edge.errors import ConfigError, DataError

Pack = Callable[..., Path]
Make = Callable[..., Path]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class Mode(NamedTuple):
    name: str
    image: Image.Image
    rgb: tuple[int, int, int]


_PALETTE = Image.new("P", (2, 2), 1)
_PALETTE.putpalette([0, 0, 0, 10, 20, 30])
MODES = [
    Mode("gray", Image.new("L", (2, 2), 77), (77, 77, 77)),
    Mode("bilevel", Image.new("1", (2, 2), 1), (255, 255, 255)),
    Mode("palette", _PALETTE, (10, 20, 30)),
    Mode("alpha", Image.new("RGBA", (2, 2), (10, 20, 30, 0)), (10, 20, 30)),
    Mode("gray-alpha", Image.new("LA", (2, 2), (9, 0)), (9, 9, 9)),
    Mode("16-bit", Image.fromarray(np.full((2, 2), 0x4D21, np.uint16)), (0x4D, 0x4D, 0x4D)),
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_mode_becomes_rgb(mode: Mode) -> None:
    file = io.BytesIO()
    mode.image.save(file, "png")
    assert np.array_equal(pixels_from_bytes(file.getvalue()), np.full((2, 2, 3), mode.rgb, np.uint8))


def test_cmyk_becomes_rgb() -> None:
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(file, "jpeg", quality=95)
    pixels_HWC = pixels_from_bytes(file.getvalue())
    assert pixels_HWC.shape == (8, 8, 3)
    assert pixels_HWC.max() <= 3


CORRUPT = {"zero bytes": b"", "no image": b"hello", "truncated": None, "a GIF by another name": b"GIF89a\x01\x00"}


@pytest.mark.parametrize("kind", CORRUPT)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_corrupt_image_is_skipped_and_named(
    make_folder: Make, zip_of: Pack, caplog: pytest.LogCaptureFixture, kind: str, zipped: bool
) -> None:
    root = make_folder(num=5, size_px=16)
    bad = root / "train/cat/002.png"
    content = CORRUPT[kind]
    bad.write_bytes(bad.read_bytes()[:120] if content is None else content)
    source = zip_of(root) if zipped else root
    for _ in range(2):  # the second is a cache hit, which says it again
        caplog.clear()
        images = load(source, "train", max_corrupt_percent=10)
        assert images.labels_N.tolist() == [0] * 4 + [1] * 5
        (message,) = [record.getMessage() for record in caplog.records]
        assert "skipped 1 of 10 images (10 %)" in message
        assert "train/cat/002.png" in message
    with pytest.raises(DataError, match=r"at most 9 % of corrupt images, got 1 of 10 .*train/cat/002\.png"):
        load(source, "train", max_corrupt_percent=9)


@pytest.mark.parametrize("percent", [-1, 101, float("nan")])
def test_a_share_outside_0_to_100_is_refused(make_folder: Make, percent: float) -> None:
    with pytest.raises(ConfigError, match="max_corrupt_percent"):
        load(make_folder(), "train", max_corrupt_percent=percent)


def test_a_decompression_bomb_is_refused(make_folder: Make) -> None:
    root = make_folder(num=1)
    Image.new("1", (10_000, 10_000)).save(root / "test/cat/000.png")
    with pytest.raises(DataError, match=r"test/cat/000\.png, which may be a decompression bomb"):
        load(root, "test")


def test_decoding_leaves_the_warning_filters_as_they_were(make_folder: Make) -> None:
    before = list(warnings.filters)
    root = make_folder()
    (root / "train/dog/001.png").write_bytes(_png(np.zeros((6, 5, 3), np.uint8)))
    with pytest.raises(DataError, match="one size"):
        load(root, "train")
    assert warnings.filters == before
