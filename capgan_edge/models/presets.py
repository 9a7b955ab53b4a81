"""The purifiers in use, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from capgan_edge.defences.ape_gan import ApeGanPurifier, ApeGanPurifierConfig
from capgan_edge.defences.hgd import HgdPurifier, HgdPurifierConfig
from capgan_edge.defences.unpurified import UnpurifiedConfig
from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig

PRESETS: Mapping[str, PurifierConfig] = MappingProxyType(
    {
        # Section III-B and Figure 2; 816 M multiply-accumulates and 10.5 M parameters at 32x32.
        "paper": PurifierConfig(),
        # Norms that fold away at export, zero padding, skips and a residual output: what small networks learn fast.
        "small": PurifierConfig(ngf=32, num_blocks=2, end_kernel_px=3, norm="batch", padding="zeros",
                                output="residual", has_skips=True),
        # Cheaper than the victim that it protects.
        "nano": PurifierConfig(ngf=16, num_blocks=2, end_kernel_px=3, norm="batch", padding="zeros",
                               output="residual", has_skips=True),
        # Decides the class and paints it: what holds where the attacker has the gradient of all of it.
        "robust-nano": RobustPurifierConfig(),
        # The same with a map of each class for the painter, of 8 by 8: for many classes.
        "robust-nano-maps": RobustPurifierConfig(class_map_px=8),
        # A learned image of each class in the frame's place: the cheapest to train, and a sixth less in use.
        "robust-nano-prototypes": RobustPurifierConfig(paints="decision", class_map_px=32),
        # The same at the same cost behind an encoder of more and narrower layers.
        "robust-nano-deep": RobustPurifierConfig(num_first_blocks=3, middle_channels=32, num_middle_blocks=4,
                                                 feature_channels=64, num_blocks=4, paints="decision",
                                                 class_map_px=32),
        # Twice as wide, four times the cost: a teacher for robust-nano, or where the device has room for it.
        "robust-small": RobustPurifierConfig(ngf=32, middle_channels=96, feature_channels=256),
        # The other purifiers of the paper's tables, before the same victim.
        "ape-gan": ApeGanPurifierConfig(),
        "hgd-paper": HgdPurifierConfig(),
        "hgd-small": HgdPurifierConfig(ngf=32, num_convs=2),
        "hgd-nano": HgdPurifierConfig(ngf=16, num_convs=2),
    }
)  # fmt: skip


def preset(name: str) -> PurifierConfig:
    """Return a preset by name."""
    if name not in PRESETS:
        raise ConfigError(f"expected a preset among {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def preset_name(config: PurifierConfig) -> str:
    """Return what settings are called: a preset's name, `none` where there is no purifier, or `custom`."""
    known: Mapping[str, PurifierConfig] = {**PRESETS, "none": UnpurifiedConfig()}
    return next((name for name, held in known.items() if held == config), "custom")


def purifier_from(config: PurifierConfig) -> Purifier:
    """Return a new network of the kind that its settings are of."""
    if isinstance(config, RobustPurifierConfig):
        return RobustPurifier(config)
    if isinstance(config, ApeGanPurifierConfig):
        return ApeGanPurifier(config)
    return HgdPurifier(config) if isinstance(config, HgdPurifierConfig) else Purifier(config)


def config_kind(settings: object) -> type[PurifierConfig]:
    """Return the class of stored settings: those of every purifier but CAP-GAN's say their kind."""
    kind = settings.get("kind") if isinstance(settings, dict) else None
    return _KINDS.get(kind, PurifierConfig) if isinstance(kind, str) else PurifierConfig


_KINDS: Mapping[str, type[PurifierConfig]] = MappingProxyType(
    {"robust": RobustPurifierConfig, "ape-gan": ApeGanPurifierConfig, "hgd": HgdPurifierConfig}
)
