"""What is behind a sign: sky, street, foliage, brick, concrete, hills, evening lights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from capgan_edge.data.signs.fields import Picture, blend, colour, coordinates, noise, step


def draw_backdrop(rng: np.random.Generator, size_px: int) -> Picture:
    """Return a backdrop [3, size_px, size_px] of a random kind."""
    kind = int(rng.choice(len(_KINDS), p=_SHARES))
    return _KINDS[kind](rng, size_px)


def _sky(rng: np.random.Generator, size_px: int) -> Picture:
    _, y = coordinates(size_px)
    high = colour(rng, (0.25, 0.45, 0.75), (0.4, 0.58, 0.82), (0.55, 0.6, 0.66), (0.3, 0.34, 0.42))
    low = colour(rng, (0.72, 0.82, 0.92), (0.85, 0.85, 0.84), (0.9, 0.76, 0.62))
    cover = rng.uniform(-0.6, 0.8)
    clouds = step(noise(rng, size_px, (3, 6, 12, 24)), cover, cover + 0.9)
    return blend(
        blend(high, low, (y + 1) * np.float32(0.5)), colour(rng, (0.93, 0.94, 0.95), (0.75, 0.76, 0.79)), clouds
    )


def _foliage(rng: np.random.Generator, size_px: int) -> Picture:
    dark = colour(rng, (0.07, 0.14, 0.06), (0.13, 0.17, 0.08), (0.2, 0.14, 0.07))
    light = colour(rng, (0.34, 0.5, 0.18), (0.5, 0.58, 0.25), (0.62, 0.46, 0.18), (0.26, 0.42, 0.24))
    leaves = step(noise(rng, size_px, (5, 11, 22, 44)), -0.9, 1.0)
    gaps = step(noise(rng, size_px, (4, 9, 18)), 0.75, 1.25)
    return blend(blend(dark, light, leaves), colour(rng, (0.8, 0.88, 0.95)), gaps * np.float32(rng.uniform(0, 0.9)))


def _brick(rng: np.random.Generator, size_px: int) -> Picture:
    x, y = coordinates(size_px)
    rows = rng.uniform(6, 13)
    down = (y + 1) * np.float32(rows / 2) + np.float32(rng.random())
    row = down.astype(np.int32)
    across = (x + 1) * np.float32(rows / 4.4) + (row % 2) * np.float32(0.5) + np.float32(rng.random())
    mortar = np.minimum(np.minimum(down % 1, 1 - down % 1), np.minimum(across % 1, 1 - across % 1) * 2.2)
    tones = rng.uniform(-0.09, 0.09, (16, 16)).astype(np.float32)[row % 16, across.astype(np.int32) % 16]
    bricks = colour(rng, (0.55, 0.28, 0.2), (0.62, 0.45, 0.32), (0.42, 0.24, 0.2), (0.7, 0.62, 0.5)) + tones
    wall = blend(colour(rng, (0.68, 0.66, 0.62), (0.48, 0.46, 0.44)), bricks, step(mortar, 0.04, 0.13))
    return wall + np.float32(0.04) * noise(rng, size_px)


def _concrete(rng: np.random.Generator, size_px: int) -> Picture:
    x, y = coordinates(size_px)
    base: Picture = colour(rng, (0.62, 0.62, 0.6), (0.42, 0.42, 0.43), (0.74, 0.71, 0.66), (0.3, 0.31, 0.33))
    stains: Picture = np.float32(rng.uniform(0.04, 0.12)) * noise(rng, size_px, (3, 6, 13, 40))
    seam = step(-np.abs(x * np.float32(rng.uniform(-0.3, 0.3)) + y - np.float32(rng.uniform(-1, 1))), -0.04, -0.01)
    return base + stains - np.float32(0.18) * seam


def _hills(rng: np.random.Generator, size_px: int) -> Picture:
    _, y = coordinates(size_px)
    picture = _sky(rng, size_px)
    ridge = noise(rng, size_px, (3, 6, 12))[size_px // 2]
    for height, tones in (
        (-0.15, ((0.42, 0.5, 0.56), (0.36, 0.44, 0.4))),
        (0.25, ((0.24, 0.36, 0.16), (0.5, 0.46, 0.26))),
    ):
        line = np.float32(height) + np.float32(rng.uniform(0.1, 0.3)) * np.roll(
            ridge, int(rng.integers(4)) * size_px // 4
        )
        ground = colour(rng, *tones) + np.float32(0.05) * noise(rng, size_px, (7, 15, 30))
        picture = blend(picture, ground, step(y - line[None, :], -0.02, 0.03))
    return picture


def _street(rng: np.random.Generator, size_px: int) -> Picture:
    x, y = coordinates(size_px)
    horizon = rng.uniform(0.0, 0.5)
    picture = _houses(rng, size_px, _sky(rng, size_px), horizon)
    road = colour(rng, (0.34, 0.34, 0.35), (0.24, 0.24, 0.26), (0.46, 0.45, 0.44))
    asphalt = road + np.float32(0.04) * noise(rng, size_px, (6, 14, 40))
    depth = np.maximum(y - np.float32(horizon), 0)
    centre = x - np.float32(rng.uniform(-0.5, 0.5)) - depth * np.float32(rng.uniform(-1.5, 1.5))
    lane = step(0.03 + 0.1 * depth - np.abs(centre), 0.0, 0.02) * ((1 / (depth + 0.12) * 2.1) % 1 < 0.6)
    verge = step(np.abs(centre) - (0.15 + 2.2 * depth), -0.02, 0.02)
    asphalt = blend(asphalt, colour(rng, (0.85, 0.84, 0.8)), lane.astype(np.float32))
    ground = blend(asphalt, colour(rng, (0.3, 0.42, 0.2), (0.55, 0.53, 0.5), (0.5, 0.44, 0.3)), verge)
    return blend(picture, ground, step(y - np.float32(horizon), -0.015, 0.015))


def _houses(rng: np.random.Generator, size_px: int, sky: Picture, horizon: float) -> Picture:
    x, y = coordinates(size_px)
    edges = np.sort(rng.uniform(-1, 1, 5)).astype(np.float32)
    house = np.searchsorted(edges, x[0])
    tops = np.float32(horizon) - rng.uniform(0.1, 1.2, 6).astype(np.float32)[house]
    paints = (0.6, 0.55, 0.48), (0.5, 0.36, 0.3), (0.55, 0.57, 0.6), (0.75, 0.7, 0.6)
    walls = [colour(rng, *paints) for _ in range(6)]
    storeys = np.float32(rng.uniform(3.5, 6.5))
    window = ((x * storeys % 1 > 0.35) & (y * storeys % 1 > 0.4) & (x * storeys % 1 < 0.8)).astype(np.float32)
    facade = blend(
        np.concatenate(walls, axis=2)[:, :, house],
        colour(rng, (0.2, 0.23, 0.28), (0.45, 0.5, 0.56)),
        window * np.float32(0.8),
    )
    return blend(sky, facade, step(y - tops, -0.01, 0.02))


def _evening(rng: np.random.Generator, size_px: int) -> Picture:
    x, y = coordinates(size_px)
    dark = colour(rng, (0.1, 0.12, 0.2), (0.16, 0.13, 0.14), (0.06, 0.08, 0.1))
    picture = blend(dark, colour(rng, (0.3, 0.26, 0.34), (0.2, 0.24, 0.3)), step(noise(rng, size_px, (2, 5)), -1, 1))
    for _ in range(9):
        cx, cy, radius, strength = rng.uniform((-1, -1, 0.06, 0.2), (1, 1, 0.24, 0.75))
        light = colour(rng, (1, 0.82, 0.45), (1, 0.42, 0.3), (0.75, 0.88, 1), (0.5, 0.95, 0.6), spread=0.1)
        disc = step(-np.hypot(x - np.float32(cx), y - np.float32(cy)), -radius, -0.85 * radius)
        picture = blend(picture, light, disc * np.float32(strength))
    return picture


_KINDS: tuple[Callable[[np.random.Generator, int], Picture], ...] = (
    _sky,
    _foliage,
    _brick,
    _concrete,
    _hills,
    _street,
    _evening,
)
_SHARES = (0.18, 0.18, 0.11, 0.11, 0.16, 0.18, 0.08)
