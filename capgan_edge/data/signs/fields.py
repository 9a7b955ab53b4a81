"""Coordinates, smooth random fields and colours of a square picture, drawn alike whatever its size.

A picture is float32 RGB [3, H, W] in [0, 1], a colour [3, 1, 1], a field [H, W]: planes first, so that all of them mix
by plain arithmetic, on contiguous rows.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Picture = NDArray[np.float32]


@functools.lru_cache(maxsize=32)
def coordinates(size_px: int) -> tuple[Field, Field]:
    """Return read-only x_HW and y_HW in [-1, 1], of pixel centres."""
    axis = ((np.arange(size_px, dtype=np.float32) + 0.5) * (2 / size_px) - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    for field in (x, y):
        field.flags.writeable = False
    return x, y


def noise(rng: np.random.Generator, size_px: int, octaves: tuple[int, ...] = (4, 8, 16, 32)) -> Field:
    """Return a cloudy field, about [-1, 1]; an octave is its number of cells a side, coarse ones weigh most."""
    total = np.zeros((size_px, size_px), np.float32)
    for octave, cells in enumerate(octaves):
        grid = (rng.random((cells, cells), np.float32) * 2 - 1) * np.float32(0.62**octave)
        weights = _smooth_weights(cells, size_px)
        total += (weights @ grid) @ weights.T
    return total


def step(field: Field, start: float, end: float) -> Field:
    """Return 0 where `field` is below `start`, 1 above `end`, smooth between them."""
    t: Field = np.clip((field - np.float32(start)) * np.float32(1 / (end - start)), 0, 1)
    return t * t * (3 - 2 * t)


def blend(below: Picture, above: Picture, share_HW: Field) -> Picture:
    """Return two pictures or colours mixed by a share in [0, 1]; 1 is all `above`."""
    return below + (above - below) * share_HW


def colour(rng: np.random.Generator, *around: tuple[float, float, float], spread: float = 0.06) -> Picture:
    """Return one of the colours `around`, shifted a little."""
    which, *shifts, brighter = rng.random(5).tolist()
    parts = zip(around[int(which * len(around))], shifts, strict=True)
    shifted = (part + spread * (0.6 * (2 * shift - 1) + 2 * brighter - 1) for part, shift in parts)
    return np.array([min(1.0, max(0.0, part)) for part in shifted], np.float32).reshape(3, 1, 1)


@functools.lru_cache(maxsize=256)
def _smooth_weights(cells: int, size_px: int) -> Field:
    """Return the [size_px, cells] weights that draw a row of cells as a smooth curve (cubic, Catmull-Rom)."""
    place = (np.arange(size_px) + 0.5) * cells / size_px - 0.5
    base = np.floor(place).astype(np.int64)
    t = place - base
    taps = ((2 - t) * t**2 - t) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2
    weights = np.zeros((size_px, cells), np.float32)
    for offset, tap in enumerate(taps, start=-1):
        np.add.at(weights, (np.arange(size_px), np.clip(base + offset, 0, cells - 1)), tap.astype(np.float32))
    weights.flags.writeable = False
    return weights
