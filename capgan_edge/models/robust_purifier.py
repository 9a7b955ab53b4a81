"""The purifier of the mode `robust`: an encoder that decides the class, and a painter that draws the decision.

Before a frozen victim whose gradient everybody has, a purifier holds only where it decides by itself and paints an
image from which the victim reads that decision. So this one has a class head, and either a residual that reaches over
the whole range of the pixels or a learned image of each class in the frame's place. The suspicion is a linear probe on
what every level of the encoder sees.
Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capgan_edge.errors import ConfigError
from capgan_edge.models.blocks import ConvNormAct, NormName, PaddingName, ResidualBlock, make_conv
from capgan_edge.models.purifier import OutputName, Purifier, PurifierConfig, Translated

MAX_CHANNELS, MAX_BLOCKS, MAX_CLASSES = 4096, 64, 1_000_000
MAX_MAP_PX = 64
PaintsName = Literal["features", "decision"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustPurifierConfig(PurifierConfig):
    """The shape of a purifier with a class head; its norms fold away at export."""

    kind: Literal["robust"] = "robust"
    """Tells these settings from a CAP-GAN purifier's where they are stored."""
    ngf: int = 16
    """Channels at full resolution, in the encoder and in the painter."""
    num_first_blocks: int = 0
    """Residual blocks at full resolution."""
    middle_channels: int = 48
    """Channels at half the resolution."""
    num_middle_blocks: int = 1
    """Residual blocks at half the resolution."""
    feature_channels: int = 128
    """Channels at a quarter of the resolution, which the class head reads."""
    num_blocks: int = 2
    """Residual blocks at a quarter of the resolution."""
    num_classes: int = 10
    paints: PaintsName = "features"
    """What the painter draws: over the frame, from features and class shares; or from the `decision` alone, a learned
    image of each class, mixed by the shares, in the frame's place: nothing else of the frame reaches the victim."""
    class_map_px: int = 0
    """Side of a learned map of each class, in places of the features at a quarter of the resolution (8 for images of
    32 px), which is laid under what the painter draws of the class; 0 is a single vector a class. Where the decision
    alone is painted, side of the learned images in pixels, of at least 1."""
    reach: float = 2.0
    """Largest residual, in [0, 2]: 1 turns any pixel into any other, 2 does so with a gradient left. Where the decision
    alone is painted there is no residual, and it has no part."""
    end_kernel_px: int = 3
    norm: NormName = "batch"
    padding: PaddingName = "zeros"
    output: OutputName = "residual"

    def __post_init__(self) -> None:
        PurifierConfig.__post_init__(self)
        channels = (self.ngf, self.middle_channels, self.feature_channels)
        if not all(1 <= number <= MAX_CHANNELS for number in channels):
            raise ConfigError(f"expected 1 to {MAX_CHANNELS} channels a level, got {channels}")
        blocks = (self.num_first_blocks, self.num_middle_blocks, self.num_blocks)
        if not all(0 <= number <= MAX_BLOCKS for number in blocks):
            raise ConfigError(f"expected 0 to {MAX_BLOCKS} residual blocks a level, got {blocks}")
        if not 2 <= self.num_classes <= MAX_CLASSES or not 0 < self.reach <= 2:
            raise ConfigError(
                f"expected at least two classes and reach in (0, 2], got {self.num_classes} and {self.reach}"
            )
        if self.paints not in get_args(PaintsName):
            raise ConfigError(f"expected paints among {', '.join(get_args(PaintsName))}, got {self.paints!r}")
        fewest = 1 if self.paints == "decision" else 0
        if not fewest <= self.class_map_px <= MAX_MAP_PX:
            raise ConfigError(f"expected class_map_px in [{fewest}, {MAX_MAP_PX}] where the painter draws the "
                              f"{self.paints}, got {self.class_map_px}")  # fmt: skip
        if self.norm == "adalin" or self.output != "residual" or self.has_skips or self.attention != "gap":
            raise ConfigError(
                "expected a robust purifier with a residual output, average pooling, without skips and without AdaLIN, "
                f"got output {self.output}, attention {self.attention}, has_skips {self.has_skips}, norm {self.norm}"
            )


def with_classes(shape: PurifierConfig, num_classes: int) -> PurifierConfig:
    """Return a shape with a class head of that many classes, where it has one; else as it is."""
    return replace(shape, num_classes=num_classes) if isinstance(shape, RobustPurifierConfig) else shape


def with_painter_of(shape: PurifierConfig, like: PurifierConfig) -> PurifierConfig:
    """Return a shape with the painter of another one, where it is of another kind or has class maps more; else as it
    is."""
    if not isinstance(shape, RobustPurifierConfig) or not isinstance(like, RobustPurifierConfig):
        return shape
    if shape.paints == like.paints and shape.class_map_px:
        return shape
    return replace(shape, class_map_px=like.class_map_px, paints=like.paints)


class Decided(NamedTuple):
    """What the encoder and its heads make of a batch."""

    features_BCHW: Tensor
    """At a quarter of the resolution."""
    class_logits_BK: Tensor
    domain_logits_B1: Tensor
    """Above 0 where the input looks attacked."""
    seen_BC: Tensor
    """Mean of every channel of every level, which the domain logits are a linear probe on."""


class RobustPurifier(Purifier):
    """A `Purifier` by its contract (`config`, `translate`, `forward`) that shares none of its layers."""

    config: RobustPurifierConfig

    def __init__(self, config: RobustPurifierConfig) -> None:
        nn.Module.__init__(self)  # not Purifier's, whose layers are those of Figure 2
        self.config = config
        self.encoder = Encoder(config)
        self.class_head = nn.Linear(config.feature_channels, config.num_classes)
        self.domain_head = nn.Linear(config.ngf + config.middle_channels + config.feature_channels, 1)
        self.painter: nn.Module = Painter(config) if config.paints == "features" else Prototypes(config)

    def decide(self, x_BCHW: Tensor) -> Decided:
        """Return features, class logits and domain logits, without painting."""
        levels = self.encoder(2 * x_BCHW - 1)
        pooled = [level_BCHW.mean(dim=(2, 3)) for level_BCHW in levels]
        class_logits_BK = self.class_head(pooled[-1]).float()
        seen_BC = torch.cat(pooled, dim=1)
        if self.training:  # a probe: features that tell attacked from clean are not those that an attack cannot move
            seen_BC = seen_BC.detach()
        return Decided(levels[-1], class_logits_BK, self.domain_head(seen_BC).float(), seen_BC)

    def class_logits(self, x_BCHW: Tensor) -> Tensor:
        """Return what the class head says, [B, K]: the decision, which who attacks the purifier climbs as well."""
        return self.decide(x_BCHW).class_logits_BK

    def paint(self, x_BCHW: Tensor, features_BCHW: Tensor | None, class_logits_BK: Tensor) -> Tensor:
        """Return the image from which the victim is to read the class: float32 RGB in [0, 1].

        Where the decision alone is painted no features are needed, and of the frames only the size.
        """
        shares_BK = F.softmax(class_logits_BK, dim=1)
        if self.config.paints == "decision":
            return torch.sigmoid(self.painter(shares_BK, (x_BCHW.shape[2], x_BCHW.shape[3])).float())
        drawn_BCHW = torch.tanh(self.painter(features_BCHW, shares_BK).float())
        return (x_BCHW + self.config.reach * drawn_BCHW).clamp(0, 1)

    def translate(self, x_BCHW: Tensor) -> Translated:
        """Return the painted batch, the domain logits, and the class activation map of what was decided."""
        features_BCHW, class_logits_BK, domain_logits_B1, _ = self.decide(x_BCHW)
        image_BCHW = self.paint(x_BCHW, features_BCHW, class_logits_BK)
        weights_BC = F.softmax(class_logits_BK, dim=1) @ self.class_head.weight
        heat_map_BHW = (features_BCHW.float() * weights_BC[:, :, None, None]).sum(dim=1)
        return Translated(image_BCHW, domain_logits_B1, heat_map_BHW)


class Encoder(nn.Module):
    """Features at full, half and a quarter of the resolution."""

    def __init__(self, c: RobustPurifierConfig) -> None:
        super().__init__()
        first, middle, deep = c.ngf, c.middle_channels, c.feature_channels

        def blocks(channels: int, number: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(channels, norm=c.norm, padding=c.padding) for _ in range(number)))

        self.stem = ConvNormAct(3, first, c.end_kernel_px, norm=c.norm, padding=c.padding)
        self.first_blocks = blocks(first, c.num_first_blocks)
        self.down1 = ConvNormAct(first, middle, 3, stride=2, norm=c.norm, padding=c.padding)
        self.middle_blocks = blocks(middle, c.num_middle_blocks)
        self.down2 = ConvNormAct(middle, deep, 3, stride=2, norm=c.norm, padding=c.padding)
        self.blocks = blocks(deep, c.num_blocks)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        e1_BCHW = self.first_blocks(self.stem(x_BCHW))
        e2_BCHW = self.middle_blocks(self.down1(e1_BCHW))
        return [e1_BCHW, e2_BCHW, self.blocks(self.down2(e2_BCHW))]


class Painter(nn.Module):
    """From features and class shares to three channels at full resolution; starts at zero, the identity."""

    def __init__(self, c: RobustPurifierConfig) -> None:
        super().__init__()
        wide, narrow = 4 * c.ngf, 2 * c.ngf
        self.squeeze = ConvNormAct(c.feature_channels, wide, 1, norm=c.norm, padding=c.padding)
        self.wide_palette = nn.Linear(c.num_classes, wide)
        self.class_maps = ClassMaps(c.num_classes, wide, c.class_map_px) if c.class_map_px else None
        self.up1 = ConvNormAct(wide, narrow, 3, upsampling=2, norm=c.norm, padding=c.padding)
        self.narrow_palette = nn.Linear(c.num_classes, narrow)
        self.up2 = ConvNormAct(narrow, c.ngf, 3, upsampling=2, norm=c.norm, padding=c.padding)
        self.end = make_conv(c.ngf, 3, c.end_kernel_px, padding=c.padding, has_bias=True)
        for parameter in self.end.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features_BCHW: Tensor, shares_BK: Tensor) -> Tensor:
        h_BCHW = self.squeeze(features_BCHW) + self.wide_palette(shares_BK)[:, :, None, None]
        if self.class_maps is not None:
            h_BCHW = h_BCHW + self.class_maps(shares_BK, (h_BCHW.shape[2], h_BCHW.shape[3]))
        h_BCHW = self.up1(h_BCHW) + self.narrow_palette(shares_BK)[:, :, None, None]
        drawn_BCHW: Tensor = self.end(self.up2(h_BCHW))
        return drawn_BCHW


class Prototypes(nn.Module):
    """A learned image of each class, mixed by the classes' shares before a sigmoid; starts as noise about grey."""

    def __init__(self, c: RobustPurifierConfig) -> None:
        super().__init__()
        self.class_maps = ClassMaps(c.num_classes, 3, c.class_map_px)
        nn.init.normal_(self.class_maps.mixed.weight, std=0.1)

    def forward(self, shares_BK: Tensor, size_px: tuple[int, int]) -> Tensor:
        """Return the mixed images before the sigmoid, [B, 3, *size_px]."""
        mixed_BCHW: Tensor = self.class_maps(shares_BK, size_px)
        return mixed_BCHW


class ClassMaps(nn.Module):
    """A learned map of each class, mixed by the classes' shares; starts at zero, so that it changes nothing."""

    def __init__(self, num_classes: int, channels: int, size_px: int) -> None:
        super().__init__()
        self.channels, self.size_px = channels, size_px
        self.mixed = nn.Linear(num_classes, channels * size_px**2, bias=False)
        nn.init.zeros_(self.mixed.weight)

    def forward(self, shares_BK: Tensor, size_px: tuple[int, int]) -> Tensor:
        """Return [B, channels, *size_px]; features of another size than the maps take the nearest place of these."""
        maps_BCHW: Tensor = self.mixed(shares_BK).unflatten(1, (self.channels, self.size_px, self.size_px))
        for axis, length in enumerate(size_px, start=2):
            if length != self.size_px:
                nearest = torch.arange(length, device=maps_BCHW.device) * self.size_px // length
                maps_BCHW = maps_BCHW.index_select(axis, nearest)
        return maps_BCHW
