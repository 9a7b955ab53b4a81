"""t-SNE of images and of logits, clean and attacked (Figure 1 of the paper). Shapes: M points, D features, N images."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import MissingDependencyError

MAX_POINTS = 600
MIN_POINTS = 8
_PERPLEXITY = 30
_LARGEST_SEED = 2**32


def projected(features_MD: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Return places in the plane, [M, 2], the same ones for the same seed.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        manifold: Any = importlib.import_module("sklearn.manifold")
        limits: Any = importlib.import_module("threadpoolctl")  # scikit-learn itself needs it
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", "drawing t-SNE", "report") from error
    num = len(features_MD)
    assert MIN_POINTS <= num <= MAX_POINTS, num
    centred_MD = features_MD - features_MD.mean(axis=0)
    if not centred_MD.any():
        return np.zeros((num, 2))
    tsne = manifold.TSNE(perplexity=min(_PERPLEXITY, (num - 1) / 3), init="pca", random_state=seed % _LARGEST_SEED)
    with limits.threadpool_limits(1):  # sums of several threads come in any order
        places_M2: NDArray[np.float64] = np.asarray(tsne.fit_transform(centred_MD / centred_MD.std()), np.float64)
    return places_M2
