"""What the camera adds: defocus, motion blur and sensor noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.fields import Picture

if TYPE_CHECKING:
    from PIL import Image

_FEWEST_TAPS, _MOST_TAPS = 5, 25


def blur(rng: np.random.Generator, image: Image.Image, amount: float) -> Image.Image:
    """Return the image out of focus, and now and then moved; radii are shares of the frame."""
    from PIL import ImageFilter

    radius = rng.uniform(0, 1) ** 1.5 * 0.017 * amount
    moves, length, angle = rng.uniform((0, 0.015, 0), (1, 0.06, math.pi))
    if moves < 0.22:
        image = _smeared(image, length * amount, angle)
    return image.filter(ImageFilter.GaussianBlur(radius * image.width))


def exposed(rng: np.random.Generator, picture_CHW: Picture, amount: float) -> NDArray[np.uint8]:
    """Return the picture ([0, 1]) as a sensor reads it: shot and read noise, eight bits, [H, W, 3]."""
    read, shot = rng.uniform(0, 1, 2) ** 2 * (0.016, 0.03) * amount
    grain = rng.standard_normal(picture_CHW.shape, np.float32)
    sigma = np.sqrt(np.float32(read**2) + np.float32(shot**2) * picture_CHW)
    levels = np.clip((picture_CHW + grain * sigma) * 255 + np.float32(0.5), 0, 255)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def _smeared(image: Image.Image, length: float, angle: float) -> Image.Image:
    """Average the image along a line, `length` of the frame long."""
    from PIL import Image

    reach = length * image.width / 2
    margin = max(1, math.ceil(reach))
    pixels = np.pad(np.asarray(image, np.float32), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    taps = min(max(_FEWEST_TAPS, 2 * margin + 1), _MOST_TAPS)
    total = np.zeros((image.height, image.width, 3), np.float32)
    for tap in np.linspace(-1, 1, taps):
        top = margin + round(tap * reach * math.sin(angle))
        left = margin + round(tap * reach * math.cos(angle))
        total += pixels[top : top + image.height, left : left + image.width]
    return Image.fromarray((total / np.float32(taps) + np.float32(0.5)).astype(np.uint8))
