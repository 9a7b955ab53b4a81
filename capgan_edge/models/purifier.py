"""The purifier T: encoder, CAM attention, decoder (Figure 2 of the paper).

One network serves as T_AC (adversarial to clean, the one that ships) and as T_CA (its inverse, for training only).
Shapes: B batch, C channel, H height, W width, J pooled views of the attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capgan_edge.errors import ConfigError
from capgan_edge.models.attention import AttentionName, CamAttention
from capgan_edge.models.blocks import (
    AdaptiveResidualBlock,
    ConvNormAct,
    NormName,
    PaddingName,
    ResidualBlock,
    make_conv,
)

OutputName = Literal["direct", "residual"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PurifierConfig:
    """The shape of a purifier; `capgan_edge.models.presets` names the ones in use."""

    ngf: int = 64
    """Channels of the first convolution; the encoder ends at four times as many."""
    num_blocks: int = 4
    """Residual blocks before the attention, and again behind it."""
    end_kernel_px: int = 7
    """Side of the first and of the last convolution."""
    norm: NormName = "adalin"
    """`adalin` is AdaLIN in the blocks behind the attention and InstanceNorm elsewhere."""
    attention: AttentionName = "gap"
    padding: PaddingName = "reflect"
    output: OutputName = "direct"
    """Whether the decoder predicts the image or what is added to the input."""
    has_skips: bool = False
    """Whether encoder features are concatenated to the decoder's at the same resolution."""

    def __post_init__(self) -> None:
        if self.ngf < 1 or self.num_blocks < 0 or self.end_kernel_px % 2 == 0:
            raise ConfigError(
                f"expected ngf >= 1, num_blocks >= 0 and an odd end_kernel_px, got {self.ngf}, {self.num_blocks} and "
                f"{self.end_kernel_px}"
            )
        for name, kind in (("norm", NormName), ("attention", AttentionName), ("padding", PaddingName),
                           ("output", OutputName)):  # fmt: skip
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"expected {name} among {', '.join(get_args(kind))}, got {getattr(self, name)!r}")


class Translated(NamedTuple):
    """What a purifier makes of a batch."""

    image_BCHW: Tensor
    """Float32 RGB in [0, 1]."""
    domain_logits_BJ: Tensor
    """The auxiliary classifier: above 0 where the input looks like the network's source domain."""
    heat_map_BHW: Tensor
    """The attention map, at a quarter of the resolution."""


class Purifier(nn.Module):
    """Translate between the adversarial and the clean domain; H and W are multiples of 4."""

    def __init__(self, config: PurifierConfig) -> None:
        super().__init__()
        self.config = config
        c, ngf = config, config.ngf
        plain: NormName = "instance" if c.norm == "adalin" else c.norm
        self.stem = ConvNormAct(3, ngf, c.end_kernel_px, norm=plain, padding=c.padding)
        self.down1 = ConvNormAct(ngf, 2 * ngf, 3, stride=2, norm=plain, padding=c.padding)
        self.down2 = ConvNormAct(2 * ngf, 4 * ngf, 3, stride=2, norm=plain, padding=c.padding)
        self.encoder_blocks = nn.Sequential(
            *(ResidualBlock(4 * ngf, norm=plain, padding=c.padding) for _ in range(c.num_blocks))
        )
        self.attention = CamAttention(4 * ngf, pooling=c.attention)
        self.decoder_blocks = nn.ModuleList(
            AdaptiveResidualBlock(4 * ngf, padding=c.padding)
            if c.norm == "adalin"
            else ResidualBlock(4 * ngf, norm=plain, padding=c.padding)
            for _ in range(c.num_blocks)
        )
        self.style = StyleHead(4 * ngf) if c.norm == "adalin" else None
        self.up1 = ConvNormAct(4 * ngf, 2 * ngf, 3, upsampling=2, norm=plain, padding=c.padding)
        self.up2 = ConvNormAct(2 * ngf, ngf, 3, upsampling=2, norm=plain, padding=c.padding)
        self.merge1 = ConvNormAct(4 * ngf, 2 * ngf, 3, norm=plain, padding=c.padding) if c.has_skips else None
        self.merge2 = ConvNormAct(2 * ngf, ngf, 3, norm=plain, padding=c.padding) if c.has_skips else None
        self.end = make_conv(ngf, 3, c.end_kernel_px, padding=c.padding, has_bias=True)
        if c.output == "residual":  # starts as the identity
            for parameter in self.end.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the translated batch: float32 RGB in [0, 1], same shape."""
        return self.translate(x_BCHW).image_BCHW

    def translate(self, x_BCHW: Tensor) -> Translated:
        """Return the translated batch with the domain logits and the attention map."""
        e1_BCHW = self.stem(2 * x_BCHW - 1)
        e2_BCHW = self.down1(e1_BCHW)
        e_BCHW = self.encoder_blocks(self.down2(e2_BCHW))
        attended = self.attention(e_BCHW)
        h_BCHW = self._decode_blocks(attended.features_BCHW)
        h_BCHW = self._merge(self.merge1, self.up1(h_BCHW), e2_BCHW)
        h_BCHW = self._merge(self.merge2, self.up2(h_BCHW), e1_BCHW)
        out_BCHW = torch.tanh(self.end(h_BCHW).float())
        is_residual = self.config.output == "residual"
        image_BCHW = (x_BCHW + out_BCHW).clamp(0, 1) if is_residual else (out_BCHW + 1) / 2
        return Translated(image_BCHW, attended.domain_logits_BJ.float(), attended.heat_map_BHW.float())

    def _decode_blocks(self, h_BCHW: Tensor) -> Tensor:
        if self.style is None:
            for block in self.decoder_blocks:
                h_BCHW = block(h_BCHW)
            return h_BCHW
        gamma_BC, beta_BC = self.style(h_BCHW)
        for block in self.decoder_blocks:
            h_BCHW = block(h_BCHW, gamma_BC, beta_BC)
        return h_BCHW

    @staticmethod
    def _merge(merge: nn.Module | None, h_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        if merge is None:
            return h_BCHW
        merged_BCHW: Tensor = merge(torch.cat([h_BCHW, skip_BCHW], dim=1))
        return merged_BCHW


class StyleHead(nn.Module):
    """Gamma and beta of AdaLIN from the attended features (U-GAT-IT's light version: pooled first)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(channels, channels, bias=False)
        self.hidden2 = nn.Linear(channels, channels, bias=False)
        self.gamma = nn.Linear(channels, channels, bias=False)
        self.beta = nn.Linear(channels, channels, bias=False)

    def forward(self, h_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        h_BC = F.relu(self.hidden2(F.relu(self.hidden1(h_BCHW.mean(dim=(2, 3))))))
        return self.gamma(h_BC), self.beta(h_BC)
