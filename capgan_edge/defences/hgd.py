"""HGD: a denoising U-net that predicts the perturbation, and takes it away.

Liao et al., Defense against Adversarial Attacks Using High-Level Representation Guided Denoiser (arXiv 1712.02976),
section 3.2 (DUNET): blocks of 3x3 convolutions, batch norm and ReLU at five resolutions, skips between them, and a 1x1
convolution to the residual. Read differently, so that every runtime takes the graph: nearest in place of bilinear
upsampling. Added: the image is clipped to [0, 1], and the residual starts at 0.
`training/hgd.py` trains it. Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capgan_edge.defences.change import translated
from capgan_edge.errors import ConfigError
from capgan_edge.models.blocks import ConvNormAct, NormName, PaddingName, make_conv
from capgan_edge.models.purifier import OutputName, Purifier, PurifierConfig, Translated

MAX_CHANNELS, MAX_CONVS = 1024, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class HgdPurifierConfig(PurifierConfig):
    """The shape of the denoiser; the defaults are the paper's: widths 64, 128, 256, 256, 256."""

    kind: Literal["hgd"] = "hgd"
    """Tells these settings from another purifier's where they are stored."""
    num_convs: int = 3
    """Convolutions of a block; the two blocks at full resolution have one less, and at least two."""
    num_blocks: int = 4
    """Halvings of the resolution, each with a block on the way down and one on the way up."""
    end_kernel_px: int = 1
    norm: NormName = "batch"
    padding: PaddingName = "zeros"
    output: OutputName = "residual"
    has_skips: bool = True

    def __post_init__(self) -> None:
        PurifierConfig.__post_init__(self)
        if self.ngf > MAX_CHANNELS or not 2 <= self.num_convs <= MAX_CONVS or not 1 <= self.num_blocks <= 4:
            raise ConfigError(
                f"expected ngf <= {MAX_CHANNELS}, num_convs in [2, {MAX_CONVS}] and num_blocks in [1, 4], got "
                f"{self.ngf}, {self.num_convs} and {self.num_blocks}"
            )
        if self.norm == "adalin" or self.output != "residual" or not self.has_skips or self.attention != "gap":
            raise ConfigError(
                "expected HGD's denoiser with skips, a residual output, attention gap (it has none) and a norm but "
                f"adalin, got has_skips {self.has_skips}, output {self.output}, attention {self.attention}, norm "
                f"{self.norm}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution, the full one first."""
        return tuple(min(2**level, 4) * self.ngf for level in range(self.num_blocks + 1))


class HgdPurifier(Purifier):
    """A `Purifier` by its contract (`config`, `translate`, `forward`) that shares none of its layers.

    The domain logit, and with it the suspicion of an exported graph, is untrained: how much the image was changed.
    """

    config: HgdPurifierConfig

    def __init__(self, config: HgdPurifierConfig) -> None:
        nn.Module.__init__(self)  # not Purifier's, whose layers are those of CAP-GAN
        self.config = config
        widths, full = config.widths, max(2, config.num_convs - 1)
        self.down = nn.ModuleList([self._block(3, widths[0], full)])
        for before, after in pairwise(widths):
            self.down.append(self._block(before, after, config.num_convs, stride=2))
        self.up = nn.ModuleList()
        for level in reversed(range(config.num_blocks)):
            num_convs = config.num_convs if level else full
            self.up.append(self._block(widths[level + 1] + widths[level], widths[level], num_convs))
        self.end = make_conv(widths[0], 3, config.end_kernel_px, padding=config.padding, has_bias=True)
        for parameter in self.end.parameters():
            nn.init.zeros_(parameter)

    def _block(self, in_channels: int, out_channels: int, num_convs: int, *, stride: int = 1) -> nn.Sequential:
        c = self.config
        first = ConvNormAct(in_channels, out_channels, 3, stride=stride, norm=c.norm, padding=c.padding)
        rest = (
            ConvNormAct(out_channels, out_channels, 3, norm=c.norm, padding=c.padding) for _ in range(num_convs - 1)
        )
        return nn.Sequential(first, *rest)

    def translate(self, x_BCHW: Tensor) -> Translated:
        """Return the denoised batch, and how much and where it was changed."""
        h_BCHW, laterals = 2 * x_BCHW - 1, []
        for block in self.down:
            h_BCHW = block(h_BCHW)
            laterals.append(h_BCHW)
        for block, lateral_BCHW in zip(self.up, reversed(laterals[:-1]), strict=True):
            h_BCHW = F.interpolate(h_BCHW, scale_factor=2.0, mode="nearest")
            if h_BCHW.shape[2:] != lateral_BCHW.shape[2:]:  # an odd size was halved
                h_BCHW = h_BCHW[:, :, : lateral_BCHW.shape[2], : lateral_BCHW.shape[3]]
            h_BCHW = block(torch.cat([h_BCHW, lateral_BCHW], dim=1))
        return translated(x_BCHW, (x_BCHW - self.end(h_BCHW).float()).clamp(0, 1))
