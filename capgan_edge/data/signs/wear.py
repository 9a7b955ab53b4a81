"""What the years do to a sign: faded paint and dirt."""

from __future__ import annotations

import numpy as np

from capgan_edge.data.signs.fields import Picture, colour, coordinates, noise, step


def wear(rng: np.random.Generator, sign_4HW: Picture, amount: float) -> None:
    """Fade and soil a premultiplied RGBA sign in place, by up to `amount` (1 is a sign of many years)."""
    size_px = sign_4HW.shape[1]
    fade, dirt_share = rng.uniform(0, 1, 2) ** 2 * amount
    rgb, alpha = sign_4HW[:3], sign_4HW[3]
    pale = colour(rng, (0.72, 0.7, 0.66))
    rgb += (pale * alpha - rgb) * np.float32(0.34 * fade)
    edge = rng.uniform(0.0, 0.5)
    soil = step(noise(rng, size_px, (4, 9, 20, 40)) + coordinates(size_px)[1] * np.float32(0.4), edge, edge + 1.1)
    dirt = colour(rng, (0.33, 0.29, 0.23), (0.42, 0.32, 0.22), (0.3, 0.34, 0.26))
    rgb += (dirt * alpha - rgb) * (soil * np.float32(0.6 * dirt_share))
