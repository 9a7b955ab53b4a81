"""Light on a scene: exposure, contrast, colour cast, gradient, cast shadows and glare."""

from __future__ import annotations

import math

import numpy as np

from capgan_edge.data.signs.fields import Field, Picture, coordinates, noise, step

_WARM = np.array([1.0, 0.15, -1.0], np.float32).reshape(3, 1, 1)


def cast_shadow(rng: np.random.Generator, size_px: int, share: float) -> Field:
    """Return the light that reaches each pixel in (0, 1]: a shadow's edge, dappled leaves, or all of it."""
    if rng.random() >= share:
        return np.ones((size_px, size_px), np.float32)
    depth = np.float32(rng.uniform(0.2, 0.5))
    if rng.random() < 0.5:
        return 1 - depth * step(_slope(rng, size_px) + np.float32(rng.uniform(-0.4, 0.4)), 0.0, 0.1)
    return 1 - depth * step(noise(rng, size_px, (4, 9, 18)), 0.0, 0.3)


def relight(rng: np.random.Generator, picture_CHW: Picture, amount: float) -> Picture:
    """Return the picture under other light; `amount` scales how far it is from even daylight."""
    size_px = picture_CHW.shape[1]
    gain = math.exp(rng.uniform(-0.5, 0.25) * amount)
    gamma = math.exp(rng.uniform(-0.22, 0.22) * amount)
    contrast = 1 + rng.uniform(-0.28, 0.12) * amount
    cast = 1 + _WARM * np.float32(rng.uniform(-0.13, 0.15) * amount)
    gradient = 1 + _slope(rng, size_px) * np.float32(rng.uniform(0, 0.24) * amount)
    lit = np.clip(picture_CHW, 0, 1) ** np.float32(gamma)
    lit = (lit - np.float32(0.45)) * np.float32(contrast) + np.float32(0.45)
    lit = lit * (cast * np.float32(gain)) * gradient
    brightened: Picture = np.clip(_glare(rng, lit.astype(np.float32, copy=False), amount), 0, 1)
    return brightened


def _slope(rng: np.random.Generator, size_px: int) -> Field:
    x, y = coordinates(size_px)
    angle = rng.uniform(0, 2 * math.pi)
    return x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))


def _glare(rng: np.random.Generator, picture_CHW: Picture, amount: float) -> Picture:
    """Return the picture, now and then with a bright veil around a point."""
    present, cx, cy, reach, strength = rng.uniform((0, -1.2, -1.2, 0.3, 0.1), (1, 1.2, 0.6, 0.9, 0.4))
    if present >= 0.16 * amount:
        return picture_CHW
    x, y = coordinates(picture_CHW.shape[1])
    spot: Field = np.exp(-((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) / np.float32(reach**2))
    return picture_CHW + spot * np.float32(strength)
