"""A property: what is written to a folder of PNGs is what is loaded. Shapes: N images, H height, W width."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from capgan_edge.data import load

_IMAGES = array_shapes(min_dims=3, max_dims=3, max_side=5).flatmap(lambda shape: arrays(np.uint8, (*shape, 3)))


@settings(max_examples=25, deadline=None)
@given(images_NHWC=_IMAGES, num_classes=st.integers(1, 3))
def test_arrays_survive_a_png_folder_exactly(images_NHWC: np.ndarray, num_classes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for label in range(num_classes):
            (Path(folder) / f"train/{label}").mkdir(parents=True)
            for index, pixels_HWC in enumerate(images_NHWC):
                Image.fromarray(pixels_HWC).save(Path(folder) / f"train/{label}/{index:03}.png")
        loaded = load(folder, "train", cache=False)
    assert np.array_equal(loaded.images_NHWC, np.concatenate([images_NHWC] * num_classes))
    assert np.array_equal(loaded.labels_N, np.repeat(np.arange(num_classes), len(images_NHWC)))
