"""APE-GAN's and HGD's networks by the purifier's contract: shape, range, cost, gradient, the measure of suspicion."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from capgan_edge.defences.ape_gan import ApeGanDiscriminator, ApeGanPurifierConfig
from capgan_edge.defences.change import translated
from capgan_edge.defences.hgd import HgdPurifierConfig
from capgan_edge.errors import ConfigError
from capgan_edge.models.cost import cost_of
from capgan_edge.models.presets import config_kind, preset, purifier_from
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_export.fused import inference_copy, suspicion

TINY: dict[str, PurifierConfig] = {
    "ape-gan": ApeGanPurifierConfig(ngf=3), "hgd": HgdPurifierConfig(ngf=3, num_convs=2)
}  # fmt: skip


def away_from_the_start(config: PurifierConfig) -> Purifier:
    torch.manual_seed(0)
    purifier = purifier_from(config)
    with torch.no_grad():
        for parameter in purifier.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return purifier


@pytest.mark.parametrize(("height_px", "width_px"), [(32, 32), (36, 20)])
@pytest.mark.parametrize("kind", TINY)
def test_every_size_keeps_shape_and_range(kind: str, height_px: int, width_px: int) -> None:
    purifier, x_BCHW = away_from_the_start(TINY[kind]), torch.rand(2, 3, height_px, width_px)
    out = purifier.translate(x_BCHW)
    assert out.image_BCHW.shape == x_BCHW.shape
    assert out.image_BCHW.dtype == torch.float32
    assert 0 <= out.image_BCHW.min() < out.image_BCHW.max() <= 1
    assert out.domain_logits_BJ.shape == (2, 1)
    assert out.heat_map_BHW.shape == (2, height_px // 4, width_px // 4)
    assert torch.equal(purifier.eval()(x_BCHW), purifier.translate(x_BCHW).image_BCHW)


@pytest.mark.parametrize("kind", TINY)
def test_a_gradient_reaches_the_image_and_every_weight(kind: str) -> None:
    purifier, x_BCHW = away_from_the_start(TINY[kind]), torch.rand(2, 3, 32, 32, requires_grad=True)
    (purifier(x_BCHW) - x_BCHW.detach()).square().sum().backward()
    assert x_BCHW.grad is not None
    assert bool(x_BCHW.grad.any())
    assert all(p.grad is not None and bool(p.grad.any()) for p in purifier.parameters())


def test_hgd_starts_as_the_identity_and_ape_gan_does_not() -> None:
    x_BCHW = torch.rand(2, 3, 32, 32)
    assert torch.equal(purifier_from(TINY["hgd"])(x_BCHW), x_BCHW)
    assert not torch.allclose(purifier_from(TINY["ape-gan"])(x_BCHW), x_BCHW, atol=0.05)


def test_the_papers_widths_cost_what_the_papers_networks_do() -> None:
    hgd = cost_of(purifier_from(preset("hgd-paper")), height_px=32, width_px=32)
    assert hgd.macs == pytest.approx(792e6, rel=0.02)
    ape_gan = cost_of(purifier_from(preset("ape-gan")), height_px=32, width_px=32)
    assert ape_gan.macs == pytest.approx(25.9e6, rel=0.02)


def test_suspicion_is_of_how_much_was_changed_and_even_at_half_of_fgsm() -> None:
    x_BCHW = torch.full((4, 3, 8, 8), 0.5)
    moved_B111 = torch.tensor([0.0, 2.0, 4.0, 8.0]).view(4, 1, 1, 1) / 255
    out = translated(x_BCHW, x_BCHW + moved_B111)
    suspicion_B = suspicion(out.domain_logits_BJ)
    assert suspicion_B.diff().min() > 0.05
    assert suspicion_B[2].item() == pytest.approx(0.5, abs=1e-4)
    assert suspicion_B[0] < 0.02 < 0.98 < suspicion_B[3]
    torch.testing.assert_close(out.heat_map_BHW, moved_B111[:, 0].expand(4, 2, 2))


@pytest.mark.parametrize("kind", TINY)
def test_every_batch_norm_folds_away_without_a_change_of_the_function(kind: str) -> None:
    purifier, x_BCHW = away_from_the_start(TINY[kind]).double(), torch.rand(4, 3, 32, 32, dtype=torch.float64)
    purifier(x_BCHW)  # statistics other than those of the start; in float64, where rounding hides nothing
    twin = inference_copy(purifier)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    torch.testing.assert_close(twin(x_BCHW), purifier.eval()(x_BCHW), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", TINY)
def test_stored_settings_make_the_kind_they_are_of(kind: str) -> None:
    assert config_kind({"kind": kind}) is type(TINY[kind])
    assert purifier_from(TINY[kind]).config == TINY[kind]


@pytest.mark.parametrize(
    ("kind", "options"),
    [(ApeGanPurifierConfig, {"ngf": 5000}), (ApeGanPurifierConfig, {"num_blocks": 1}),
     (ApeGanPurifierConfig, {"norm": "adalin"}), (ApeGanPurifierConfig, {"output": "residual"}),
     (HgdPurifierConfig, {"num_convs": 1}), (HgdPurifierConfig, {"num_blocks": 5}),
     (HgdPurifierConfig, {"has_skips": False}), (HgdPurifierConfig, {"attention": "gap+gmp"}),
     (HgdPurifierConfig, {"ngf": 0})],
    ids=str,
)  # fmt: skip
def test_a_shape_that_cannot_be_is_refused(kind: type[PurifierConfig], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected.*got"):
        kind(**options)


def test_the_discriminator_judges_images_of_any_size_one_by_one() -> None:
    judge = ApeGanDiscriminator(2).eval()
    for size_px in (16, 36):
        x_BCHW = torch.rand(3, 3, size_px, size_px)
        judged_B = judge(x_BCHW)
        assert judged_B.shape == (3,)
        torch.testing.assert_close(judge(x_BCHW[1:2])[0], judged_B[1])
