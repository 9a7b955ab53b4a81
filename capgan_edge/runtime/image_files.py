"""Image files named on a command line: files and folders in, RGB frames out, one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.decoding import FORMATS
from capgan_edge.errors import DataError, MissingDependencyError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"}


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, and the images under the folders named, sorted within each folder.

    Raises:
        DataError: a path that is not there, or a folder without an image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise DataError(f"expected images ({', '.join(SUFFIXES)}) under {path}, got none; name another folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"expected an image or a folder at {path}, got nothing; check the path")
    return found


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image as uint8 RGB [H, W, 3], turned upright as its EXIF says.

    Raises:
        DataError: the file is no image of a format that training takes too, is truncated, has more than 8 bits a
            channel, or is absurdly large.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise MissingDependencyError("pillow", "reading images", "cpu") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                mode = image.mode
                upright = ImageOps.exif_transpose(image)
                if mode in _EIGHT_BIT_MODES:
                    return np.array(upright.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DataError(
            f"expected an image at {path}, but: it is none of {', '.join(FORMATS)}; convert or leave out this file"
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on a corrupt file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"expected an image at {path}, but: {reason}; repair or leave out this file") from error
    raise DataError(f"{path}: expected 8 bits a channel, got mode {mode!r}; convert it to an 8-bit image first")
