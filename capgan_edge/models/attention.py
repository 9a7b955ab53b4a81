"""CAM attention: a domain classifier on pooled features whose weights say which features matter where.

Sections III-B and III-C.2a of the paper; the classifier and its pooling are U-GAT-IT's (arXiv 1907.10830, Section
2.1.1). Shapes: B batch, C channel, H height, W width, J pooled views (1 for GAP, 2 for GAP+GMP).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

AttentionName = Literal["gap", "gap+gmp"]


class Attended(NamedTuple):
    """What the attention gives."""

    features_BCHW: Tensor
    """Weighted maps after the 1x1 convolution and the activation."""
    domain_logits_BJ: Tensor
    """Whether the input is of the network's source domain, one logit a pooled view."""
    heat_map_BHW: Tensor
    """Sum over the channels of w_k E_k: the maps of Figures 2 and 3."""


class CamAttention(nn.Module):
    """Weight each feature map by its weight in the domain classifier, then mix the maps by a 1x1 convolution."""

    def __init__(self, channels: int, *, pooling: AttentionName, is_spectral: bool = False,
                 negative_slope: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.negative_slope = negative_slope
        self.average_head: nn.Module = nn.Linear(channels, 1, bias=False)
        self.max_head: nn.Module | None = nn.Linear(channels, 1, bias=False) if pooling == "gap+gmp" else None
        if is_spectral:
            self.average_head = spectral_norm(self.average_head)
            self.max_head = spectral_norm(self.max_head) if self.max_head is not None else None
        self.mix = nn.Conv2d(channels * (2 if pooling == "gap+gmp" else 1), channels, 1)

    def forward(self, e_BCHW: Tensor) -> Attended:
        logits = [self.average_head(e_BCHW.mean(dim=(2, 3)))]
        maps = [e_BCHW * _weight_of(self.average_head)]
        if self.max_head is not None:
            logits.append(self.max_head(e_BCHW.amax(dim=(2, 3))))
            maps.append(e_BCHW * _weight_of(self.max_head))
        weighted = maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
        features_BCHW = F.leaky_relu(self.mix(weighted), self.negative_slope)
        return Attended(features_BCHW, torch.cat(logits, dim=1), weighted.sum(dim=1))


def _weight_of(head: nn.Module) -> Tensor:
    """Return the weights as [C, 1, 1]."""
    weight_1C = head.weight
    assert isinstance(weight_1C, Tensor)
    return weight_1C[0][:, None, None]
