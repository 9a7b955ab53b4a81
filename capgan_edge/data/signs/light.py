"""Light on a scene: exposure, contrast, colour cast, gradient, cast shadows and glare. RGB float32 in [0, 1]."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.fields import Field, coordinates, noise, step

Picture = NDArray[np.float32]


def cast_shadow(rng: np.random.Generator, size_px: int, share: float) -> Field:
    """Return the light that reaches each pixel in (0, 1]: a shadow's edge, dappled leaves, or all of it."""
    if rng.random() >= share:
        return np.ones((size_px, size_px), np.float32)
    depth = np.float32(rng.uniform(0.2, 0.5))
    if rng.random() < 0.5:
        return 1 - depth * step(_slope(rng, size_px) + np.float32(rng.uniform(-0.4, 0.4)), 0.0, 0.1)
    return 1 - depth * step(noise(rng, size_px, (4, 9, 18)), 0.0, 0.3)


def relight(rng: np.random.Generator, picture_HW3: Picture, amount: float) -> Picture:
    """Return the picture under other light; `amount` scales how far it is from even daylight."""
    size_px = len(picture_HW3)
    gain = math.exp(rng.uniform(-0.55, 0.25) * amount)
    gamma = math.exp(rng.uniform(-0.22, 0.22) * amount)
    contrast = 1 + rng.uniform(-0.28, 0.12) * amount
    cast = 1 + np.array([1.0, 0.15, -1.0], np.float32) * np.float32(rng.uniform(-0.13, 0.15) * amount)
    gradient = 1 + _slope(rng, size_px) * np.float32(rng.uniform(0, 0.24) * amount)
    lit = np.clip(picture_HW3, 0, 1) ** np.float32(gamma)
    lit = (lit - np.float32(0.45)) * np.float32(contrast) + np.float32(0.45)
    lit = lit * (cast * np.float32(gain)) * gradient[..., None]
    return np.clip(lit + _glare(rng, size_px, amount), 0, 1)


def _slope(rng: np.random.Generator, size_px: int) -> Field:
    x, y = coordinates(size_px)
    angle = rng.uniform(0, 2 * math.pi)
    return x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))


def _glare(rng: np.random.Generator, size_px: int, amount: float) -> Picture:
    present, cx, cy, reach, strength = rng.uniform((0, -1.2, -1.2, 0.3, 0.1), (1, 1.2, 0.6, 0.9, 0.4))
    if present >= 0.16 * amount:
        return np.zeros((1, 1, 3), np.float32)
    x, y = coordinates(size_px)
    spot = np.exp(-((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) / np.float32(reach**2))
    return spot[..., None] * np.array([1.0, 0.97, 0.88], np.float32) * np.float32(strength)
