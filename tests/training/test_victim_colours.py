"""The victim's normalisation is the mean and deviation of the images' colours, at any number of them."""

from __future__ import annotations

import numpy as np
import pytest

from capgan_edge.data.images import ImageSet
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.victim import COLOUR_SLICE, measure_colours


def images_of(images_NHWC: np.ndarray) -> ImageSet:
    return ImageSet(
        name="x", images_NHWC=images_NHWC, labels_N=np.zeros(len(images_NHWC), np.int64), class_names=("a",)
    )


@pytest.mark.parametrize("num", [1, COLOUR_SLICE, 2 * COLOUR_SLICE + 7], ids=lambda num: f"{num} images")
def test_colours_are_exact_to_float32(num: int) -> None:
    rng = np.random.default_rng(0)
    images_NHWC = rng.integers(0, (60, 200, 256), (num, 16, 16, 3)).astype(np.uint8)
    victim = SimpleResNet(2, units_per_stage=1)
    measure_colours(victim, images_of(images_NHWC))
    scaled_NC = images_NHWC.reshape(-1, 3).astype(np.float64) / 255
    np.testing.assert_allclose(victim.mean_C.flatten().numpy(), scaled_NC.mean(0), rtol=1e-7, atol=0)
    np.testing.assert_allclose(victim.std_C.flatten().numpy(), scaled_NC.std(0), rtol=1e-7, atol=0)


def test_a_colour_that_never_changes_deviates_by_one_step() -> None:
    images_NHWC = np.full((8, 16, 16, 3), 17, np.uint8)
    images_NHWC[..., 2] = np.random.default_rng(0).integers(0, 256, (8, 16, 16))
    victim = SimpleResNet(2, units_per_stage=1)
    measure_colours(victim, images_of(images_NHWC))
    red, green, blue = victim.std_C.flatten().tolist()
    assert red == green == pytest.approx(1 / 255)
    assert blue > 0.2
