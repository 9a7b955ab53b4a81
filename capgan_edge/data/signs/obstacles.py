"""What is in front of a sign: leaves, a thin pole or a branch, a sticker; and the post that carries it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.fields import colour
from capgan_edge.data.signs.pose import Pose

if TYPE_CHECKING:
    from PIL import Image

Points = NDArray[np.float64]


def draw_post(rng: np.random.Generator, image: Image.Image, pose: Pose) -> None:
    """Draw the post behind a sign, down to the edge of the frame."""
    half = rng.uniform(0.06, 0.1)
    steel = colour(rng, (0.56, 0.58, 0.6), (0.42, 0.42, 0.42), (0.36, 0.3, 0.24))
    for left, right, tone in ((-1.0, 1.0, 0.72), (-0.7, 0.5, 1.0), (-0.45, -0.05, 1.2)):
        corners = np.array([(left * half, 0.2), (right * half, 0.2), (right * half, 2.4), (left * half, 2.4)])
        _fill(image, pose.place(corners), steel * tone)


def draw_obstacle(rng: np.random.Generator, image: Image.Image, pose: Pose) -> None:
    """Draw one thing that hides a part of the sign, a fifth of it at most."""
    kind = rng.random()
    if kind < 0.5:
        _leaves(rng, image)
    elif kind < 0.75:
        _bar(rng, image)
    else:
        _sticker(rng, image, pose)


def _leaves(rng: np.random.Generator, image: Image.Image) -> None:
    around = rng.uniform(0, 2 * math.pi)
    cx, cy = 0.88 * math.cos(around), 0.88 * math.sin(around)
    tone = colour(rng, (0.24, 0.4, 0.14), (0.36, 0.48, 0.18), (0.55, 0.4, 0.14))
    for _ in range(int(rng.integers(5, 12))):
        dx, dy, length, angle, shade = rng.uniform((-0.3, -0.3, 0.12, 0, 0.7), (0.3, 0.3, 0.24, 2 * math.pi, 1.25))
        t = np.linspace(0, math.pi, 9)
        along, across = -length * np.cos(t), 0.42 * length * np.sin(t)
        outline = np.concatenate([np.column_stack([along, across]), np.column_stack([along, -across])[::-1]])
        _fill(image, outline @ _rotation(angle).T + (cx + dx, cy + dy), tone * shade)


def _bar(rng: np.random.Generator, image: Image.Image) -> None:
    """A branch, a wire or a thin post nearer to the camera, right across the frame."""
    angle, offset, half, taper = rng.uniform((-0.5, -0.75, 0.02, 0.5), (0.5, 0.75, 0.06, 1.0))
    corners = np.array([(-half, -2.2), (half, -2.2), (half * taper, 2.2), (-half * taper, 2.2)])
    if rng.random() < 0.4:
        angle += math.pi / 2
    shift = _rotation(angle) @ (offset, 0.0)
    tone = colour(rng, (0.26, 0.2, 0.15), (0.45, 0.46, 0.48), (0.15, 0.15, 0.16))
    _fill(image, corners @ _rotation(angle).T + shift, tone)


def _sticker(rng: np.random.Generator, image: Image.Image, pose: Pose) -> None:
    """Paper above or below the middle, where it does not hide what tells one number from another."""
    width, height, x, y, angle = rng.uniform((0.1, 0.07, -0.28, 0.4, -0.8), (0.21, 0.17, 0.28, 0.66, 0.8))
    y = y if rng.random() < 0.5 else -y
    corners = np.array([(-width, -height), (width, -height), (width, height), (-width, height)])
    tones = ((0.92, 0.92, 0.88), (0.2, 0.55, 0.75), (0.85, 0.35, 0.6), (0.2, 0.2, 0.22), (0.9, 0.75, 0.2))
    paper, ink = colour(rng, *tones), colour(rng, *tones)
    for factor, tone in ((1.0, paper), (0.55, ink)):
        _fill(image, pose.place(corners * factor @ _rotation(angle).T + (x, y)), tone)


def _rotation(angle: float) -> Points:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _fill(image: Image.Image, points_N2: Points, tone: Any) -> None:
    from PIL import ImageDraw

    pixels = (points_N2 + 1) * (image.width / 2)
    red, green, blue = (int(255 * min(1.0, max(0.0, float(part)))) for part in np.ravel(tone))
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in pixels], fill=(red, green, blue))
