"""The discriminator: five spectrally normalised layers, patches and a domain logit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from capgan_edge.models.attention import AttentionName
from capgan_edge.models.blocks import PaddingName
from capgan_edge.models.discriminator import Discriminator


@pytest.mark.parametrize("attention", ["gap", "gap+gmp"])
def test_every_layer_but_the_mixing_one_is_spectrally_normalised(attention: AttentionName) -> None:
    d = Discriminator(4, attention=attention)
    layers = {name: m for name, m in d.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    plain = {name for name, layer in layers.items() if not is_parametrized(layer, "weight")}
    assert plain == {"attention.mix"}
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers.values()) - len(plain) == 5


def test_a_spectrally_normalised_weight_has_norm_one_once_the_iteration_has_settled() -> None:
    torch.manual_seed(0)
    d = Discriminator(4).train()
    with torch.no_grad():
        for _ in range(100):
            d(torch.rand(1, 3, 32, 32))
    for layer in d.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and is_parametrized(layer, "weight"):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
            assert largest == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_it_judges_patches_and_pooled_views(padding: PaddingName) -> None:
    judged = Discriminator(4, attention="gap+gmp", padding=padding)(torch.rand(3, 3, 32, 48))
    assert judged.patches_B1HW.shape == (3, 1, 2, 4)
    assert judged.domain_logits_BJ.shape == (3, 2)
    assert judged.patches_B1HW.dtype == torch.float32
