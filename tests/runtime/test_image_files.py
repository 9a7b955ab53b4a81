"""Image files are found, read as upright RGB, and refused by name where they are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capgan_edge.errors import DataError
from capgan_edge.runtime.image_files import find_images, read_image


def _write(path: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def test_files_come_as_named_and_folders_are_searched_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    images = [_write(folder / "a.png"), _write(folder / "b" / "c.JPG"), _write(folder / "d.bmp")]
    (folder / "notes.txt").touch()
    single = _write(tmp_path / "z.png")
    assert find_images([single, folder]) == [single, *images]


def test_only_the_formats_that_training_takes_are_opened_whatever_a_name_says(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "really.tiff")
    for name in ("scan.png", "scan.tif"):
        (tmp_path / name).write_bytes((tmp_path / "really.tiff").read_bytes())
        with pytest.raises(DataError, match="none of JPEG, PNG, WEBP, BMP, PPM") as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert find_images([tmp_path]) == [tmp_path / "scan.png"], "what is searched for is what can be read"


@pytest.mark.parametrize("suffix", ["bmp", "jpeg", "jpg", "png", "ppm", "webp"])
def test_what_is_searched_for_is_read(suffix: str, tmp_path: Path) -> None:
    path = _write(tmp_path / f"image.{suffix}")
    assert find_images([tmp_path]) == [path]
    assert read_image(path).shape == (4, 6, 3)


def test_missing_paths_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing"):
        find_images([tmp_path / "none.png"])
    with pytest.raises(DataError, match="got none"):
        find_images([tmp_path])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_eight_bit_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image_HWC = read_image(_write(tmp_path / "image.png", mode))
    assert image_HWC.shape == (4, 6, 3)
    assert image_HWC.dtype == np.uint8


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (6, 4)), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    assert read_image(tmp_path / "photo.jpg").shape == (6, 4, 3)


def test_broken_images_are_refused_by_name_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _write(tmp_path / "whole.png", size=(64, 64)).read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    for name in ("truncated.png", "text.png", "empty.png"):
        with pytest.raises(DataError, match=f"an image at .*{name}, but: ") as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="decompression bomb"):
        read_image(tmp_path / "whole.png")


def test_sixteen_bits_are_not_clipped_in_silence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 8 bits a channel, got mode 'I;16'"):
        read_image(_write(tmp_path / "deep.png", "I;16"))
