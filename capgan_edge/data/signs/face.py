"""The flat, clean face of a sign: painted once a size, smooth at its edges, kept for every scene that shows it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.canvas import Canvas
from capgan_edge.data.signs.catalogue import SIGN_CLASSES, paint
from capgan_edge.data.signs.checks import check_integer, require_pillow

if TYPE_CHECKING:
    from PIL import Image

_SMOOTHING = 4
_LARGEST_FACE_PX = 1024


def draw_face(class_index: int, *, size_px: int) -> NDArray[np.uint8]:
    """Return the clean sign of a class as RGBA, uint8 [size_px, size_px, 4], transparent around the sign.

    Raises:
        ConfigError: `class_index` or `size_px` is out of range.
    """
    require_pillow()
    check_integer("class_index", class_index, 0, len(SIGN_CLASSES) - 1)
    check_integer("size_px", size_px, 16, _LARGEST_FACE_PX)
    return np.array(_painted(class_index, size_px).convert("RGBA"))


def face_for(class_index: int, shown_px: float) -> Image.Image:
    """Return the face to warp where it is shown `shown_px` wide: premultiplied, a power of two, never smaller."""
    size_px = 32
    while size_px < min(shown_px, _LARGEST_FACE_PX):
        size_px *= 2
    return _painted(class_index, size_px)


@functools.lru_cache(maxsize=128)
def _painted(class_index: int, size_px: int) -> Image.Image:
    canvas = Canvas(size_px * _SMOOTHING)
    paint(class_index, canvas)
    return canvas.image.convert("RGBa").reduce(_SMOOTHING)
