"""What a robust training costs, counted in passes: the same on every machine.

A gradient by the image alone takes two passes of a network, forward and back; one by its weights takes three.
H, P, F: multiply-accumulates an image of the encoder, of the painter with the (tiny) heads, and of the victim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victim import SimpleResNet
    from capgan_edge.training.robust_config import RobustConfig
    from capgan_edge.training.victim import VictimConfig

PETA = 1e15


@dataclass(frozen=True, kw_only=True, slots=True)
class Macs:
    """Multiply-accumulates of one image."""

    head: float
    painter: float
    victim: float
    is_drawn_from_features: bool = True
    """Whether drawing a class takes the encoder's features."""

    @property
    def whole(self) -> float:
        """Of f(T(.))."""
        return self.head + self.painter + self.victim


def macs_of(purifier: Purifier, victim: SimpleResNet, size_px: tuple[int, int]) -> Macs:
    """Return those of a pair; a purifier without a class head is all painter."""
    from capgan_edge.models.cost import cost_of
    from capgan_edge.models.robust_purifier import RobustPurifier

    height_px, width_px = size_px
    whole = cost_of(purifier, height_px=height_px, width_px=width_px).macs
    head, is_drawn_from_features = 0, True
    if isinstance(purifier, RobustPurifier):
        head = cost_of(purifier.encoder, height_px=height_px, width_px=width_px).macs
        is_drawn_from_features = purifier.config.paints == "features"
    return Macs(head=head, painter=whole - head, victim=cost_of(victim, height_px=height_px, width_px=width_px).macs,
                is_drawn_from_features=is_drawn_from_features)  # fmt: skip


def epoch_pflop(config: RobustConfig, macs: Macs, epoch: int, num_images: int, *, size_px: int) -> float:
    """Return the floating-point operations, in 1e15, of an epoch; terms of GAN, cycle and teacher are not in it.

    A multiply-accumulate is two. PGD that a collapse answered with more steps is not in it either.
    """
    from capgan_edge.training.robust_config import attack_steps
    from capgan_edge.training.robust_stages import awp_gamma_at, crop_px_at, stage_at

    stage, crop_px = stage_at(config, epoch).name, crop_px_at(config, epoch)
    climbs = 2 * max(1, attack_steps(config.attack))
    h, p, f = macs.head, macs.painter, macs.victim
    painted, seen = 3 * p + 2 * f, 1 + config.painter_learns_suspicion
    learns = {"head": 3 * h, "draw": macs.is_drawn_from_features * h + painted, "painter": seen * h + painted,
              "whole": 2 * (3 * (h + p) + 2 * f) + f}[stage]  # fmt: skip
    if awp_gamma_at(config, epoch):
        learns *= 2
    attacked = {"head": h, "draw": 0.0}.get(stage, macs.whole)
    share = 1.0 if crop_px is None else (min(crop_px, size_px) / size_px) ** 2
    return 2 * share * (climbs * attacked + learns) * num_images / PETA


def robust_pflop(config: RobustConfig, macs: Macs, num_images: int, *, size_px: int) -> list[float]:
    """Return what is spent by the end of each epoch."""
    spent, total = [], 0.0
    for epoch in range(config.epochs):
        total += epoch_pflop(config, macs, epoch, num_images, size_px=size_px)
        spent.append(total)
    return spent


def victim_pflop(config: VictimConfig, macs: float, num_images: int, *, size_px: int) -> float:
    """Return the operations, in 1e15, of training a victim: adversarially, or on clean images."""
    small = min(1.0, config.small_crop_px / size_px) ** 2 * config.small_crop_epochs
    epochs = small + config.epochs - config.small_crop_epochs
    return 2 * macs * (3 + 2 * config.attack_steps) * epochs * num_images / PETA
