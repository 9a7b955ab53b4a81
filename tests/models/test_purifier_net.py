"""The purifier: every option keeps shape and range; presets; the identity start; options that do not exist."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from capgan_edge.errors import ConfigError
from capgan_edge.models.attention import AttentionName
from capgan_edge.models.blocks import AdaLIN, NormName, PaddingName
from capgan_edge.models.presets import PRESETS, preset
from capgan_edge.models.purifier import Purifier, PurifierConfig

CONFIGS = st.builds(
    PurifierConfig,
    ngf=st.integers(1, 3),
    num_blocks=st.integers(0, 2),
    end_kernel_px=st.sampled_from([1, 3, 7]),
    norm=st.sampled_from(get_args(NormName)),
    attention=st.sampled_from(get_args(AttentionName)),
    padding=st.sampled_from(get_args(PaddingName)),
    output=st.sampled_from(["direct", "residual"]),
    has_skips=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(config=CONFIGS, height_px=st.sampled_from([8, 12]), width_px=st.sampled_from([8, 16]), seed=st.integers(0, 99))
def test_every_option_keeps_shape_and_range(config: PurifierConfig, height_px: int, width_px: int, seed: int) -> None:
    torch.manual_seed(seed)
    purifier = Purifier(config)
    with torch.no_grad():
        for parameter in purifier.parameters():  # far from the start, where a residual is zero
            parameter.add_(torch.randn_like(parameter))
        x_BCHW = torch.rand(2, 3, height_px, width_px)
        out = purifier.translate(x_BCHW)
    assert out.image_BCHW.shape == x_BCHW.shape
    assert out.image_BCHW.dtype == torch.float32
    assert out.image_BCHW.min() >= 0
    assert out.image_BCHW.max() <= 1
    assert out.domain_logits_BJ.shape == (2, 2 if config.attention == "gap+gmp" else 1)
    assert out.heat_map_BHW.shape == (2, height_px // 4, width_px // 4)


@pytest.mark.parametrize("name", ["small", "nano"])
def test_a_residual_preset_starts_as_the_identity(name: str) -> None:
    x_BCHW = torch.rand(2, 3, 32, 32)
    for module in (Purifier(preset(name)), Purifier(preset(name)).eval()):
        assert torch.equal(module(x_BCHW), x_BCHW)


def test_the_identity_start_has_a_gradient_to_leave_it() -> None:
    purifier = Purifier(preset("nano"))
    purifier(torch.rand(2, 3, 32, 32) * 0.8 + 0.1).square().sum().backward()
    weight = purifier.end[-1].weight
    assert isinstance(weight, torch.Tensor)
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0


def test_the_papers_preset_is_adalin_behind_the_attention_and_reflects() -> None:
    purifier = Purifier(PurifierConfig(ngf=2))
    assert sum(isinstance(m, AdaLIN) for m in purifier.decoder_blocks.modules()) == 8
    assert not any(isinstance(m, AdaLIN) for m in purifier.encoder_blocks.modules())
    assert any(isinstance(m, nn.ReflectionPad2d) for m in purifier.modules())
    assert all(conv.padding == (0, 0) for conv in purifier.modules() if isinstance(conv, nn.Conv2d))


@pytest.mark.parametrize("name", ["small", "nano"])
def test_a_deployed_preset_has_only_norms_that_fold_away(name: str) -> None:
    kinds = {type(m).__name__ for m in Purifier(preset(name)).modules() if "Norm" in type(m).__name__}
    assert kinds <= {"BatchNorm2d", "ConvNormAct"}


def test_an_unknown_preset_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"among paper, small, nano, .*, got 'tiny'"):
        preset("tiny")
    assert "tiny" not in PRESETS


@pytest.mark.parametrize(
    ("option", "value"),
    [("norm", "layer"), ("attention", "gmp"), ("padding", "same"), ("output", "both"), ("ngf", 0), ("num_blocks", -1),
     ("end_kernel_px", 4)],
)  # fmt: skip
def test_an_option_that_does_not_exist_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"(?s)expected.*{value}"):
        PurifierConfig(**{option: value})
