"""JPEG as a defence: Pillow's codec image by image, without a gradient, and the quality that meets an accuracy."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from capgan_edge.attacks import FGSM, IdentityBackward
from capgan_edge.data.images import ImageSet
from capgan_edge.defences.jpeg import Jpeg, choose_quality
from capgan_edge.errors import ConfigError
from capgan_export.fused import inference_copy

QUALITIES = (5, 50, 95)


class Grain(nn.Module):
    """Tells grained images (class 1) from smooth ones (class 0); coarse JPEG takes the grain away."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        seen_B = (x_BCHW - 0.5).abs().mean(dim=(1, 2, 3)) - 0.004
        return torch.stack([-seen_B, seen_B], dim=1)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Four smooth images, and four each with grain of 2, 6 and 20 levels."""
    grain_HWC = np.random.default_rng(0).choice([-1, 1], (16, 16, 1)).repeat(3, axis=2)
    levels_N = np.repeat([0, 2, 6, 20], 4)
    images_NHWC = np.stack([128 + level * grain_HWC for level in levels_N]).astype(np.uint8)
    return ImageSet(name="grain", images_NHWC=images_NHWC, labels_N=(levels_N > 0).astype(np.int64),
                    class_names=("smooth", "grained"))  # fmt: skip


@pytest.fixture(scope="module")
def pixels(images: ImageSet) -> Tensor:
    return torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255


def test_each_image_is_what_pillow_makes_of_it() -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 256, (3, 24, 16, 3), dtype=np.uint8)
    coded = Jpeg(60)(torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 255)
    for image_HWC, coded_CHW in zip(images_NHWC, coded, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image_HWC).save(buffer, "JPEG", quality=60, subsampling="4:2:0")
        expected = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255
        assert torch.equal(coded_CHW, expected)


def test_lower_quality_and_coarser_colours_take_more_away() -> None:
    x_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    lost = [float((Jpeg(quality)(x_BCHW) - x_BCHW).abs().mean()) for quality in (95, 75, 25)]
    assert lost[0] < lost[1] < lost[2]
    fine = float((Jpeg(95, "4:4:4")(x_BCHW) - x_BCHW).abs().mean())
    assert fine < 0.5 * lost[0]


def test_it_has_no_gradient_and_is_attacked_as_the_identity() -> None:
    victim = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval().requires_grad_(False)
    x, y = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 0])
    jpeg = Jpeg(80)
    assert not jpeg(x.clone().requires_grad_()).requires_grad
    with pytest.raises(ConfigError, match="do not depend on the images"):
        FGSM()(nn.Sequential(jpeg, victim), x, y)
    moved = (FGSM()(IdentityBackward(jpeg, victim), x, y).images_BCHW - x).abs()
    assert moved.max() == pytest.approx(8 / 255, abs=1e-6)


def test_the_sweep_has_the_clean_accuracy_behind_each_quality(images: ImageSet, pixels: Tensor) -> None:
    found = choose_quality(Grain(), images, 100.0, qualities=QUALITIES)
    labels_N = torch.from_numpy(images.labels_N)
    by_hand = [float(100 * (Grain()(Jpeg(q)(pixels)).argmax(1) == labels_N).double().mean()) for q in QUALITIES]
    assert [tuple(tried) for tried in found.sweep] == list(zip(QUALITIES, by_hand, strict=True))
    assert by_hand[0] < by_hand[1] < by_hand[2] == 100


@pytest.mark.parametrize("target", range(3))
def test_the_quality_nearest_the_target_is_chosen(target: int, images: ImageSet) -> None:
    tried = choose_quality(Grain(), images, 0.0, qualities=QUALITIES).sweep[target]
    for off in (-4.0, 0.0, 4.0):
        wanted = min(100.0, tried.clean_percent + off)
        assert choose_quality(Grain(), images, wanted, qualities=QUALITIES).chosen == tried


def test_of_two_that_are_as_near_the_stronger_compression_is_chosen(images: ImageSet) -> None:
    assert choose_quality(Grain(), images, 100.0, qualities=(95, 94)).chosen.quality == 94


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quality in \[1, 100\].*got 0 and '4:2:0'"):
        Jpeg(0)
    with pytest.raises(ConfigError, match="got 50 and '4:1:1'"):
        Jpeg(50, "4:1:1")  # type: ignore[arg-type]
    none = ImageSet(name="none", images_NHWC=np.zeros((0, 8, 8, 3), np.uint8), labels_N=np.zeros(0, np.int64),
                    class_names=("a",))  # fmt: skip
    with pytest.raises(ConfigError, match="0 images"):
        choose_quality(Grain(), none, 75.0)


def test_it_is_not_exported() -> None:
    for attempt in (lambda: inference_copy(Jpeg()), lambda: Jpeg().config):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"got JPEG, which is a codec and has no graph to export; .*"):
            attempt()
