"""Points of a t-SNE by class and kind, as the scatter takes them. Shapes: N images, M points: clean, then attacked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.report.plots import NUM_STYLES

Cloud = tuple[str, bool, list[tuple[float, float]]]
"""A class of the style sheet, whether the points are attacked, and where they are."""


def shown_classes(labels_N: NDArray[np.int64]) -> list[int]:
    """Return the classes that have a colour of their own: the commonest, in the order of their labels."""
    classes, counts = np.unique(labels_N, return_counts=True)
    commonest = classes[np.argsort(-counts, kind="stable")[:NUM_STYLES]]
    return sorted(int(label) for label in commonest)


def clouds_of(places_M2: NDArray[np.float64], labels_N: NDArray[np.int64], shown: Sequence[int]) -> list[Cloud]:
    """Return the points by class and kind, those of classes without a colour first, so that they lie below."""
    labels_M = np.concatenate([labels_N, labels_N])
    is_attacked_M = np.arange(len(labels_M)) >= len(labels_N)
    style_M = np.array([shown.index(int(label)) if label in shown else -1 for label in labels_M])
    clouds = []
    for style in (-1, *range(len(shown))):
        for is_attacked in (False, True):
            places = places_M2[(style_M == style) & (is_attacked_M == is_attacked)]
            if len(places):
                kind = "rest" if style < 0 else f"s{style}"
                clouds.append((kind, is_attacked, [(float(x), float(y)) for x, y in places]))
    return clouds
