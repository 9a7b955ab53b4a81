"""The methods by which purifiers are trained before an attack on f alone, by the names and kinds of their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lightning_fabric import Fabric
from torch import nn

from capgan_edge.defences.ape_gan import ApeGanDiscriminator
from capgan_edge.errors import ConfigError
from capgan_edge.models.discriminator import Discriminator
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.training.ape_gan import ApeGan, ApeGanConfig
from capgan_edge.training.cap_gan import CapGan
from capgan_edge.training.config import CapGanConfig, PurifierRunConfig
from capgan_edge.training.hgd import Hgd, HgdConfig
from capgan_edge.training.method import Method
from capgan_edge.training.one_way import OneWayGan

CONFIGS: Mapping[str, type[PurifierRunConfig]] = MappingProxyType(
    {"cap-gan": CapGanConfig, "ape-gan": ApeGanConfig, "hgd": HgdConfig}
)
"""Settings by the name of a method, which checkpoints store as their `mode`."""


def mode_of(config: PurifierRunConfig) -> str:
    """Return the name of the method that these are settings of."""
    return next(name for name, kind in CONFIGS.items() if type(config) is kind)


def method_from(config: PurifierRunConfig, purifier: PurifierConfig, victim: nn.Module, fabric: Fabric) -> Method:
    """Return a new method's networks and optimizers.

    Raises:
        ConfigError: CAP-GAN is to train a network that is not its own.
    """
    if isinstance(config, ApeGanConfig):
        return ApeGan(purifier, config, victim, fabric)
    if isinstance(config, HgdConfig):
        return Hgd(purifier, config, victim, fabric)
    assert isinstance(config, CapGanConfig)
    if type(purifier) is not PurifierConfig:
        raise ConfigError(
            f"expected the shape of a CAP-GAN purifier for CAP-GAN's losses, got {type(purifier).__name__}; use the "
            "preset paper, small or nano"
        )
    return CapGan(purifier, config, victim, fabric) if config.has_cycle else OneWayGan(purifier, config, victim, fabric)


def judges_of(config: PurifierRunConfig, purifier: PurifierConfig) -> dict[str, Callable[[], nn.Module]]:
    """Return what builds a method's discriminators, by the names they have in checkpoints."""
    if isinstance(config, ApeGanConfig):
        return {"d": lambda: ApeGanDiscriminator(config.ndf)}
    if isinstance(config, CapGanConfig):
        ndf, attention = config.ndf, config.discriminator_attention
        return {"d_c": lambda: Discriminator(ndf, attention=attention, padding=purifier.padding)}
    return {}
