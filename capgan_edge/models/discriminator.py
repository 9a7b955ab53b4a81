"""The discriminator D: U-GAT-IT's five layers with spectral norm and CAM, one for each domain.

Shapes: B batch, C channel, H height, W width, J pooled views of the attention.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from capgan_edge.models.attention import AttentionName, CamAttention
from capgan_edge.models.blocks import PaddingName

NEGATIVE_SLOPE = 0.2


class Judged(NamedTuple):
    """What a discriminator says of a batch: near 1 for real, near 0 for generated (LSGAN)."""

    patches_B1HW: Tensor
    domain_logits_BJ: Tensor


class Discriminator(nn.Module):
    """Judge float32 RGB in [0, 1], [B, 3, H, W] with H, W >= 32."""

    def __init__(self, ndf: int = 64, *, attention: AttentionName = "gap", padding: PaddingName = "reflect") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for out_channels, stride in ((ndf, 2), (2 * ndf, 2), (4 * ndf, 2), (8 * ndf, 1)):
            layers += [*_conv4(in_channels, out_channels, stride, padding), nn.LeakyReLU(NEGATIVE_SLOPE)]
            in_channels = out_channels
        self.encoder = nn.Sequential(*layers)
        self.attention = CamAttention(in_channels, pooling=attention, is_spectral=True, negative_slope=NEGATIVE_SLOPE)
        self.classifier = nn.Sequential(*_conv4(in_channels, 1, 1, padding, has_bias=False))

    def forward(self, x_BCHW: Tensor) -> Judged:
        attended = self.attention(self.encoder(2 * x_BCHW - 1))
        return Judged(self.classifier(attended.features_BCHW).float(), attended.domain_logits_BJ.float())


def _conv4(in_channels: int, out_channels: int, stride: int, padding: PaddingName, *,
           has_bias: bool = True) -> list[nn.Module]:  # fmt: skip
    if padding == "zeros":
        return [spectral_norm(nn.Conv2d(in_channels, out_channels, 4, stride, 1, bias=has_bias))]
    return [nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(in_channels, out_channels, 4, stride, 0, bias=has_bias))]
