"""A contact sheet: many images on one PNG, for a README or a report."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.checks import check_integer, require_pillow
from capgan_edge.errors import InputError

_GAP_PX = 2
_LARGEST_SHEET_PX = 16_384


def contact_sheet(images_NHWC: NDArray[np.uint8], *, columns: int, scale: int = 1) -> bytes:
    """Return a PNG of the images row by row on white, each pixel drawn as `scale` x `scale` pixels.

    Raises:
        InputError: the images are not uint8 [N, H, W, 3], or there are none.
        ConfigError: `columns` or `scale` is out of range, or the sheet would be too large.
    """
    require_pillow()
    from PIL import Image

    if images_NHWC.dtype != np.uint8 or images_NHWC.ndim != 4 or images_NHWC.shape[3] != 3 or 0 in images_NHWC.shape:
        raise InputError(
            f"expected images as uint8 [N, H, W, 3], got {images_NHWC.dtype} {list(images_NHWC.shape)}; "
            "convert them, and pass at least one"
        )
    num_images, height, width, _ = images_NHWC.shape
    check_integer("columns", columns, 1)
    check_integer("scale", scale, 1, 64)
    rows = -(-num_images // columns)
    cell_height, cell_width = height * scale + _GAP_PX, width * scale + _GAP_PX
    check_integer("the sheet's width in pixels", columns * cell_width, 1, _LARGEST_SHEET_PX)
    check_integer("the sheet's height in pixels", rows * cell_height, 1, _LARGEST_SHEET_PX)
    sheet = np.full((rows * cell_height + _GAP_PX, columns * cell_width + _GAP_PX, 3), 255, np.uint8)
    for index, image_HWC in enumerate(images_NHWC):
        top = _GAP_PX + index // columns * cell_height
        left = _GAP_PX + index % columns * cell_width
        enlarged = image_HWC.repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top : top + height * scale, left : left + width * scale] = enlarged
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
