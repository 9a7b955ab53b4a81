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
from capgan_edge.models.victim import SimpleResNet
from capgan_export.fused import inference_copy

Trained = tuple[SimpleResNet, Tensor, Tensor]


def test_each_image_is_what_pillow_makes_of_it() -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 256, (3, 24, 16, 3), dtype=np.uint8)
    coded = Jpeg(60)(torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 255)
    for image_HWC, coded_CHW in zip(images_NHWC, coded, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image_HWC).save(buffer, "JPEG", quality=60, subsampling="4:2:0")
        expected = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255
        assert torch.equal(coded_CHW, expected)


def test_lower_quality_and_coarser_colours_take_more_away(trained: Trained) -> None:
    x_BCHW = trained[1][:8]
    lost = [float((Jpeg(quality)(x_BCHW) - x_BCHW).abs().mean()) for quality in (95, 75, 25)]
    assert lost[0] < lost[1] < lost[2]
    assert not torch.equal(Jpeg(75, "4:4:4")(x_BCHW), Jpeg(75)(x_BCHW))


def test_it_has_no_gradient_and_is_attacked_as_the_identity(trained: Trained) -> None:
    victim, x_NCHW, y_N = trained
    x, y = x_NCHW[:8], y_N[:8]
    jpeg = Jpeg(80)
    assert not jpeg(x.clone().requires_grad_()).requires_grad
    with pytest.raises(ConfigError, match="do not depend on the images"):
        FGSM()(nn.Sequential(jpeg, victim), x, y)
    moved = (FGSM()(IdentityBackward(jpeg, victim), x, y).images_BCHW - x).abs()
    assert moved.max() == pytest.approx(8 / 255, abs=1e-6)


def test_the_quality_nearest_the_target_is_chosen_and_the_whole_sweep_told(trained: Trained) -> None:
    victim, x_NCHW, y_N = trained
    images_NHWC = (x_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    images = ImageSet(name="signs", images_NHWC=images_NHWC, labels_N=y_N.numpy(), class_names=tuple("abcd"))
    qualities = (2, 10, 90)
    found = choose_quality(victim, images, 100.0, qualities=qualities)
    assert tuple(tried.quality for tried in found.sweep) == qualities
    with torch.no_grad():
        by_hand = [100 * float((victim(Jpeg(q)(x_NCHW)).argmax(1) == y_N).double().mean()) for q in qualities]
    assert [tried.clean_percent for tried in found.sweep] == pytest.approx(by_hand)
    assert found.chosen.clean_percent == max(by_hand)
    for tried in found.sweep:
        nearest = choose_quality(victim, images, tried.clean_percent, qualities=qualities).chosen
        assert nearest.clean_percent == tried.clean_percent
        assert nearest.quality <= tried.quality


def test_what_cannot_be_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"quality in \[1, 100\].*got 0 and '4:2:0'"):
        Jpeg(0)
    with pytest.raises(ConfigError, match="got 50 and '4:1:1'"):
        Jpeg(50, "4:1:1")  # type: ignore[arg-type]
    none = ImageSet(name="none", images_NHWC=np.zeros((0, 8, 8, 3), np.uint8), labels_N=np.zeros(0, np.int64),
                    class_names=("a",))  # fmt: skip
    with pytest.raises(ConfigError, match="0 images"):
        choose_quality(trained[0], none, 75.0)


def test_it_is_not_exported() -> None:
    for attempt in (lambda: inference_copy(Jpeg()), lambda: Jpeg().config):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"got JPEG, which is a codec and has no graph to export; .*"):
            attempt()
