"""APE-GAN: a generator that restores attacked images, and the discriminator that it is trained against.

Shen et al., APE-GAN: Adversarial Perturbation Elimination with GAN (arXiv 1707.05474), section 3. Two strided
convolutions of ngf and 2 ngf channels and two that go back up, batch norm between; no skips, the image itself comes
out. Read differently, so that the norms fold away at export and every runtime takes the graph: 3x3 convolutions behind
nearest upsampling in place of 4x4 transposed ones, ReLU in place of leaky ReLU in the generator.
`training/ape_gan.py` trains it. Shapes: B batch, C channel, H height, W width.
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
from capgan_edge.models.purifier import Purifier, PurifierConfig, Translated

NEGATIVE_SLOPE = 0.2
MAX_CHANNELS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class ApeGanPurifierConfig(PurifierConfig):
    """The shape of the generator; 26 M multiply-accumulates at 32x32, so that it is the same at every scale."""

    kind: Literal["ape-gan"] = "ape-gan"
    """Tells these settings from another purifier's where they are stored."""
    num_blocks: int = 0
    end_kernel_px: int = 3
    norm: NormName = "batch"
    padding: PaddingName = "zeros"

    def __post_init__(self) -> None:
        PurifierConfig.__post_init__(self)
        if self.ngf > MAX_CHANNELS or self.norm == "adalin":
            raise ConfigError(f"expected ngf <= {MAX_CHANNELS} and a norm but adalin, got {self.ngf} and {self.norm}")
        if self.num_blocks or self.output != "direct" or self.has_skips or self.attention != "gap":
            raise ConfigError(
                "expected APE-GAN's generator without blocks and skips, with a direct output and attention gap (it has "
                f"none), got num_blocks {self.num_blocks}, has_skips {self.has_skips}, output {self.output}, attention "
                f"{self.attention}"
            )


class ApeGanPurifier(Purifier):
    """A `Purifier` by its contract (`config`, `translate`, `forward`) that shares none of its layers.

    The domain logit, and with it the suspicion of an exported graph, is untrained: how much the image was changed.
    """

    config: ApeGanPurifierConfig

    def __init__(self, config: ApeGanPurifierConfig) -> None:
        nn.Module.__init__(self)  # not Purifier's, whose layers are those of CAP-GAN
        self.config = c = config
        px, norm, padding = c.end_kernel_px, c.norm, c.padding
        self.down1 = ConvNormAct(3, c.ngf, px, stride=2, norm=norm, padding=padding)
        self.down2 = ConvNormAct(c.ngf, 2 * c.ngf, px, stride=2, norm=norm, padding=padding)
        self.up1 = ConvNormAct(2 * c.ngf, c.ngf, px, upsampling=2, norm=norm, padding=padding)
        self.end = make_conv(c.ngf, 3, px, padding=padding, has_bias=True)

    def translate(self, x_BCHW: Tensor) -> Translated:
        """Return the restored batch, and how much and where it was changed."""
        h_BCHW = self.up1(self.down2(self.down1(2 * x_BCHW - 1)))
        h_BCHW = self.end(F.interpolate(h_BCHW, scale_factor=2.0, mode="nearest"))
        return translated(x_BCHW, torch.sigmoid(h_BCHW.float()))


class ApeGanDiscriminator(nn.Module):
    """Judge float32 RGB in [0, 1], [B, 3, H, W] with H, W >= 16: a logit [B], above 0 for clean.

    The mean of a logit a patch stands for the paper's dense layer, which is bound to one size of images.
    """

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, ndf, 2 * ndf, 4 * ndf)):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after),
                       nn.LeakyReLU(NEGATIVE_SLOPE)]  # fmt: skip
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * ndf, 1, 3, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        judged_B: Tensor = self.layers(2 * x_BCHW - 1).float().mean(dim=(1, 2, 3))
        return judged_B
