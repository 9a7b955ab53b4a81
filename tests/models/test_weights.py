"""The hash of a network's weights: of nothing else, and of all of them."""

from __future__ import annotations

import copy

import torch
from safetensors.torch import save
from torch import nn

from capgan_edge.files import sha256_of_bytes
from capgan_edge.models.weights import weights_sha256


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_it_is_that_of_the_safetensors_bytes_and_of_nothing_but_the_weights() -> None:
    held = module()
    assert weights_sha256(held) == sha256_of_bytes(save(dict(held.state_dict())))
    assert weights_sha256(held) == weights_sha256(copy.deepcopy(held).eval().requires_grad_(False))
    assert weights_sha256(held) == weights_sha256(held.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def test_a_parameter_and_a_buffer_count() -> None:
    held = module()
    found = {weights_sha256(held)}
    for name in ("0.weight", "1.running_mean"):
        other = copy.deepcopy(held)
        other.state_dict()[name].view(-1)[0] += 1
        found.add(weights_sha256(other))
    assert len(found) == 3


def test_weights_that_are_tied_are_hashed_as_if_they_were_not() -> None:
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    apart = copy.deepcopy(tied)
    tied[1].weight = tied[0].weight
    apart[1].load_state_dict({"weight": tied[0].weight.detach().clone(), "bias": apart[1].bias.detach()})
    assert weights_sha256(tied) == weights_sha256(apart)
