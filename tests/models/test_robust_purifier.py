"""The purifier that decides and paints: shape, range, cost, the identity start, its probe, and what export folds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from capgan_edge.errors import ConfigError
from capgan_edge.models.cost import Cost, cost_of
from capgan_edge.models.presets import config_kind, preset, purifier_from
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig, with_painter_of
from capgan_edge.models.victim import SimpleResNet

TINY = RobustPurifierConfig(ngf=2, middle_channels=3, feature_channels=5, num_blocks=1, num_classes=4)


def away_from_the_start(config: RobustPurifierConfig = TINY) -> RobustPurifier:
    torch.manual_seed(0)
    purifier = RobustPurifier(config)
    with torch.no_grad():
        for parameter in purifier.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return purifier


@pytest.mark.parametrize(("height_px", "width_px"), [(32, 32), (24, 24), (12, 8)])
@pytest.mark.parametrize("norm", ["batch", "none", "instance"])
def test_every_size_and_norm_keeps_shape_and_range(norm: Any, height_px: int, width_px: int) -> None:
    config = RobustPurifierConfig(ngf=2, middle_channels=3, feature_channels=5, num_blocks=1, num_classes=4, norm=norm)
    purifier, x_BCHW = away_from_the_start(config), torch.rand(2, 3, height_px, width_px)
    out = purifier.translate(x_BCHW)
    assert torch.equal(purifier(x_BCHW), out.image_BCHW) or purifier.training
    assert out.image_BCHW.shape == x_BCHW.shape
    assert out.image_BCHW.dtype == torch.float32
    assert 0 <= out.image_BCHW.min() <= out.image_BCHW.max() <= 1
    assert out.domain_logits_BJ.shape == (2, 1)
    assert out.heat_map_BHW.shape == (2, height_px // 4, width_px // 4)
    assert purifier.decide(x_BCHW).class_logits_BK.shape == (2, 4)


@pytest.mark.parametrize("name", ["robust-nano", "robust-nano-maps", "robust-nano-prototypes", "robust-nano-deep"])
def test_each_nano_costs_less_than_the_victim_and_fits_beside_it_in_five_megabytes(name: str) -> None:
    victim = cost_of(SimpleResNet(10), height_px=32, width_px=32)
    purifier = cost_of(purifier_from(preset(name)), height_px=32, width_px=32)
    assert purifier.macs <= victim.macs
    assert 4 * (purifier.parameters + victim.parameters) < 5e6


def test_robust_small_is_robust_nano_at_twice_the_width_and_four_times_the_cost() -> None:
    nano, small = (cost_of(purifier_from(preset(f"robust-{size}")), height_px=32, width_px=32)
                   for size in ("nano", "small"))  # fmt: skip
    assert small == Cost(macs=256_318_720, parameters=2_909_390)  # exactly what is built now
    assert small.macs == pytest.approx(4 * nano.macs, rel=0.01)


def test_blocks_at_full_resolution_are_part_of_what_is_decided_and_none_leaves_what_there_was() -> None:
    config, x_BCHW = replace(TINY, num_first_blocks=2), torch.rand(2, 3, 8, 8)
    purifier = away_from_the_start(config).eval()
    with torch.no_grad():  # a block adds to its input: without what it adds the network is the one without blocks
        before_BK = purifier.class_logits(x_BCHW)
        for block in purifier.encoder.first_blocks:
            block.norm2.weight.zero_()
            block.norm2.bias.zero_()
    plain = RobustPurifier(TINY).eval()
    shared = {name: tensor for name, tensor in purifier.state_dict().items() if "first_blocks" not in name}
    plain.load_state_dict(shared)
    torch.testing.assert_close(purifier.class_logits(x_BCHW), plain.class_logits(x_BCHW))
    assert not torch.allclose(before_BK, plain.class_logits(x_BCHW))


def test_it_starts_as_the_identity_with_a_gradient_to_leave_it() -> None:
    purifier, x_BCHW = RobustPurifier(TINY), torch.rand(2, 3, 8, 8) * 0.8 + 0.1
    image_BCHW = purifier(x_BCHW)
    assert torch.equal(image_BCHW, x_BCHW)
    image_BCHW.square().sum().backward()
    gradient = purifier.painter.end[-1].weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert gradient.abs().max() > 0


def test_the_residual_reaches_over_the_whole_range_of_pixels() -> None:
    purifier = RobustPurifier(TINY)
    with torch.no_grad():
        purifier.painter.end[-1].bias.fill_(5.0)
    assert purifier(torch.zeros(1, 3, 8, 8)).min() == 1


def test_the_painter_sees_the_decision() -> None:
    purifier, x_BCHW = away_from_the_start().eval(), torch.rand(1, 3, 8, 8)
    features_BCHW = purifier.decide(x_BCHW).features_BCHW
    sure_K1K = 9 * torch.eye(4)[:, None]
    images = [purifier.paint(x_BCHW, features_BCHW, logits_1K) for logits_1K in sure_K1K]
    assert all((images[0] - other).abs().mean() > 0.01 for other in images[1:])


@pytest.mark.parametrize(("height_px", "width_px"), [(8, 8), (16, 24)])
def test_class_maps_start_as_nothing_and_are_mixed_by_the_shares(height_px: int, width_px: int) -> None:
    """Maps of 2 px, for features of 2 by 2: another size stretches them."""
    plain, shape = away_from_the_start().eval(), replace(TINY, class_map_px=2)
    purifier, x_BCHW = RobustPurifier(shape).eval(), torch.rand(2, 3, height_px, width_px)
    purifier.load_state_dict(purifier.state_dict() | plain.state_dict())
    torch.testing.assert_close(purifier(x_BCHW), plain(x_BCHW), rtol=0, atol=0)

    maps = purifier.painter.class_maps
    assert maps is not None
    with torch.no_grad():
        maps.mixed.weight.copy_(torch.arange(maps.mixed.weight.numel()).view_as(maps.mixed.weight) / 100)
    shares_BK = torch.tensor([[0.25, 0.75, 0, 0]])
    first, second, *_ = maps.mixed.weight.T.view(4, 8, 2, 2)
    torch.testing.assert_close(maps(shares_BK, (2, 2))[0], 0.25 * first + 0.75 * second)
    stretched, mixed = maps(shares_BK, (4, 6))[0], 0.25 * first + 0.75 * second
    torch.testing.assert_close(stretched, mixed.repeat_interleave(2, 1).repeat_interleave(3, 2))
    torch.testing.assert_close(maps(shares_BK, (1, 3))[0], mixed[:, :1, [0, 0, 1]])
    assert not torch.equal(purifier(x_BCHW), plain(x_BCHW))


@pytest.mark.parametrize("size_px", [(32, 32), (8, 8), (64, 40)])
def test_where_the_decision_is_painted_nothing_else_of_the_frame_is_left(size_px: tuple[int, int]) -> None:
    """Two frames with one decision give one image; it is a learned image of the class, and another for another."""
    config = replace(TINY, paints="decision", class_map_px=8)
    purifier = away_from_the_start(config).eval()
    assert not [name for name in purifier.state_dict() if name.startswith("painter.") and "class_maps" not in name]
    frames_BCHW = torch.rand(2, 3, *size_px)
    sure_BK = 60 * torch.eye(4)[[1, 1]]
    images_BCHW = purifier.paint(frames_BCHW, None, sure_BK)
    assert images_BCHW.shape == frames_BCHW.shape
    torch.testing.assert_close(images_BCHW[0], images_BCHW[1], rtol=0, atol=0)
    own = torch.sigmoid(purifier.painter.class_maps.mixed.weight[:, 1].view(3, 8, 8))
    torch.testing.assert_close(images_BCHW[0, :, 0, 0], own[:, 0, 0])
    torch.testing.assert_close(images_BCHW[0, :, -1, -1], own[:, -1, -1])
    assert (purifier.paint(frames_BCHW, None, 60 * torch.eye(4)[[2, 2]]) - images_BCHW).abs().max() > 0.01
    out = purifier.translate(frames_BCHW)
    assert 0 <= out.image_BCHW.min() <= out.image_BCHW.max() <= 1
    expected_BCHW = purifier.paint(frames_BCHW, None, purifier.class_logits(frames_BCHW))
    torch.testing.assert_close(out.image_BCHW, expected_BCHW)


def test_a_learned_image_of_each_class_has_a_side_of_at_least_one_pixel() -> None:
    with pytest.raises(ConfigError, match=r"expected class_map_px in \[1, 64\] where the painter draws the decision"):
        replace(TINY, paints="decision")


def test_a_shape_takes_another_painter_and_class_maps_only_where_it_has_none() -> None:
    decision = replace(TINY, paints="decision", class_map_px=8, num_blocks=2)
    assert with_painter_of(TINY, decision) == replace(decision, num_blocks=TINY.num_blocks)
    assert with_painter_of(decision, TINY) == replace(TINY, num_blocks=2)
    assert with_painter_of(decision, replace(decision, class_map_px=4)) == decision
    maps, others = replace(TINY, class_map_px=2), replace(TINY, class_map_px=4)
    assert with_painter_of(TINY, maps) == maps
    assert with_painter_of(others, maps) == others
    assert with_painter_of(PurifierConfig(), maps) == PurifierConfig()


@pytest.mark.parametrize("is_training", [True, False], ids=["training", "deployed"])
def test_the_suspicion_is_a_probe_in_training_and_has_its_gradient_when_deployed(is_training: bool) -> None:
    purifier = away_from_the_start().train(is_training)
    x_BCHW = torch.rand(2, 3, 8, 8, requires_grad=True)
    purifier.translate(x_BCHW).domain_logits_BJ.sum().backward()
    assert purifier.domain_head.weight.grad is not None
    reaches_encoder = any(p.grad is not None and bool(p.grad.any()) for p in purifier.encoder.parameters())
    assert reaches_encoder is not is_training
    assert (x_BCHW.grad is None) is is_training


def test_the_heat_map_is_the_class_activation_of_what_was_decided() -> None:
    purifier, x_BCHW = away_from_the_start().eval(), torch.rand(1, 3, 8, 8)
    decided = purifier.decide(x_BCHW)
    shares_BK = decided.class_logits_BK.softmax(1)
    without_bias_BK = decided.class_logits_BK - purifier.class_head.bias
    expected = (shares_BK * without_bias_BK).sum(1)  # mean over the map of what each class reads, by its share
    torch.testing.assert_close(purifier.translate(x_BCHW).heat_map_BHW.mean(dim=(1, 2)), expected)


@pytest.mark.parametrize("name", ["robust-nano", "robust-nano-deep"])
def test_every_batch_norm_is_behind_a_convolution_that_takes_it_in(name: str) -> None:
    from capgan_export.fused import inference_copy

    twin = inference_copy(purifier_from(preset(name)))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())


def test_stored_settings_make_the_kind_they_are_of() -> None:
    assert isinstance(purifier_from(TINY), RobustPurifier)
    assert type(purifier_from(PurifierConfig(ngf=2))) is Purifier
    assert config_kind({"kind": "robust"}) is RobustPurifierConfig
    assert config_kind({"ngf": 16}) is config_kind(None) is PurifierConfig


@pytest.mark.parametrize(
    ("option", "value"),
    [("ngf", 0), ("class_map_px", 65), ("class_map_px", -1),
     ("middle_channels", 0), ("feature_channels", 5000), ("num_middle_blocks", -1), ("num_blocks", 65),
     ("paints", "x"), ("num_first_blocks", -1), ("num_first_blocks", 65),
     ("num_classes", 1), ("reach", 0.0), ("reach", 2.5), ("norm", "adalin"), ("output", "direct"),
     ("attention", "gap+gmp"), ("has_skips", True), ("end_kernel_px", 4)],
)  # fmt: skip
def test_a_shape_that_cannot_be_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"(?s)expected.*{value}".replace("+", r"\+")):
        RobustPurifierConfig(**{option: value})
