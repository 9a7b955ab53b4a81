"""Pixels as pictures inside a page: PNG in base64. Shapes: H height, W width."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

HEAT_PX = 128
NOISE_GAIN = 8
_ANCHORS = np.array(
    [[13, 8, 35], [74, 16, 107], [148, 38, 103], [212, 72, 66], [246, 138, 33], [252, 255, 164]], np.float64
)
"""From dark to bright, evenly spaced: a scale that reads in grey too."""


def data_uri(image_HWC: NDArray[np.uint8]) -> str:
    """Return an RGB image as a `data:` address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def magnified_noise(clean_HWC: NDArray[np.uint8], attacked_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the attack added, times `NOISE_GAIN`, on grey."""
    difference_HWC = attacked_HWC.astype(np.float64) - clean_HWC
    noise_HWC: NDArray[np.uint8] = np.clip(127.5 + NOISE_GAIN * difference_HWC, 0, 255).astype(np.uint8)
    return noise_HWC


def heat_over(frame_HWC: NDArray[np.uint8], heat_HW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a heat map, stretched from its own least to its own largest value, over the darkened grey frame."""
    from PIL import Image

    side = (HEAT_PX, HEAT_PX)
    share_HW = _stretched(heat_HW)
    smooth = Image.fromarray((255 * share_HW).astype(np.uint8)).resize(side, Image.Resampling.BICUBIC)
    share_HW = np.asarray(smooth, np.float64) / 255
    grey = Image.fromarray(frame_HWC).convert("L").resize(side, Image.Resampling.BICUBIC)
    grey_HW1 = np.asarray(grey, np.float64)[..., None]
    weight_HW1 = 0.35 + 0.45 * share_HW[..., None]
    mixed_HWC = (1 - weight_HW1) * grey_HW1 + weight_HW1 * _coloured(share_HW)
    picture_HWC: NDArray[np.uint8] = np.clip(mixed_HWC, 0, 255).astype(np.uint8)
    return picture_HWC


def _stretched(heat_HW: NDArray[np.float32]) -> NDArray[np.float64]:
    heat64_HW = np.nan_to_num(heat_HW.astype(np.float64))
    spread = heat64_HW.max() - heat64_HW.min()
    stretched_HW: NDArray[np.float64] = (heat64_HW - heat64_HW.min()) / spread if spread > 0 else 0 * heat64_HW
    return stretched_HW


def _coloured(share_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.linspace(0, 1, len(_ANCHORS))
    return np.stack([np.interp(share_HW, places, _ANCHORS[:, channel]) for channel in range(3)], axis=-1)
