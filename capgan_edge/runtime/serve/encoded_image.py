"""A JPEG or PNG that came over the network, decoded within bounds."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import MissingDependencyError
from capgan_edge.runtime.serve.refusals import Refusal

_FORMATS = ("JPEG", "PNG")
_DEEP = ";16"
"""In Pillow's name of how pixels lie in a file: two bytes a channel, also where it decodes only one of them."""


def frame_from_image(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """Return the image as uint8 RGB [H, W, 3], upright as its EXIF says; its size is checked before a pixel is decoded.

    Raises:
        Refusal: no JPEG or PNG, a broken one, more pixels than allowed, or more than 8 bits a channel.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise MissingDependencyError("pillow", "decoding images", "cpu") from error
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(max_pixels, f"{width} x {height}")
            if any(_DEEP in str(tile[3]) for tile in getattr(image, "tile", ())):
                raise Refusal(400, "expected an image of 8 bits a channel, got one of 16; save it with 8 first")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels, "far more") from error
    except UnidentifiedImageError as error:
        raise Refusal(400, "expected a JPEG or PNG, got neither; send the file's bytes as the body") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on a corrupt file
        reason = str(error) or type(error).__name__
        raise Refusal(400, f"expected a whole JPEG or PNG, but: {reason}; send the file's bytes as the body") from error


def _too_large(max_pixels: int, came: str) -> Refusal:
    return Refusal(413, f"expected an image of at most {max_pixels} pixels, got {came}; shrink it")
