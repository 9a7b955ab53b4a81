"""What the camera adds: defocus, motion blur and sensor noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Picture = NDArray[np.float32]

_MOTION_TAPS = 5


def blur(rng: np.random.Generator, image: Image.Image, amount: float) -> Image.Image:
    """Return the image out of focus, and now and then moved; radii are shares of the frame."""
    from PIL import ImageFilter

    radius = rng.uniform(0, 1) ** 1.5 * 0.021 * amount
    moves, length, angle = rng.uniform((0, 0.015, 0), (1, 0.06, math.pi))
    if moves < 0.22:
        image = _smeared(image, length * amount, angle)
    return image.filter(ImageFilter.GaussianBlur(radius * image.width))


def exposed(rng: np.random.Generator, picture_HW3: Picture, amount: float) -> NDArray[np.uint8]:
    """Return the picture ([0, 1]) as a sensor reads it: shot and read noise, eight bits."""
    read, shot = rng.uniform(0, 1, 2) ** 2 * (0.016, 0.03) * amount
    grain = rng.standard_normal(picture_HW3.shape, np.float32)
    sigma = np.sqrt(np.float32(read**2) + np.float32(shot**2) * picture_HW3)
    return np.clip((picture_HW3 + grain * sigma) * 255 + np.float32(0.5), 0, 255).astype(np.uint8)


def _smeared(image: Image.Image, length: float, angle: float) -> Image.Image:
    """Average the image along a line, `length` of the frame long."""
    from PIL import Image

    reach = length * image.width / 2
    margin = max(1, math.ceil(reach))
    pixels = np.pad(np.asarray(image, np.float32), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    total = np.zeros((image.height, image.width, 3), np.float32)
    for tap in np.linspace(-1, 1, _MOTION_TAPS):
        top = margin + round(tap * reach * math.sin(angle))
        left = margin + round(tap * reach * math.cos(angle))
        total += pixels[top : top + image.height, left : left + image.width]
    return Image.fromarray((total / _MOTION_TAPS + np.float32(0.5)).astype(np.uint8))
