"""Every loss of CAP-GAN (Section III-C of the paper, in the reading of its equations that is fixed here).

The printed equations swap LSGAN's labels, lose two minus signs in the CAM loss of T, and give its last term T_CA(a)
for a; each function says what it computes instead. Losses are computed in FP32.
Shapes: B batch, C channel, H height, W width, J pooled views of the attention, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.errors import ConfigError
from capgan_edge.models.discriminator import Judged


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """How the losses add up; the paper prints alpha and the temperature, and no inner weights."""

    alpha: float = 0.7
    """Share of the pixel losses (GAN, identity, cycle) against the feature losses (CAM, semantic), in [0, 1]."""
    temperature: float = 10.0
    """T of the semantic loss."""
    identity: float = 1.0
    """Inner weight; 1 is the preset `paper`, 10 the preset `ugatit`."""
    cycle: float = 1.0
    """Inner weight, as above."""
    semantic_reduction: Literal["sum", "mean"] = "sum"
    """Over the three fakes of a domain; the sum is a reading, the paper does not say."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or not 0 < self.temperature < math.inf:
            raise ConfigError(f"expected alpha in [0, 1] and temperature > 0, got {self.alpha} and {self.temperature}")
        if not (0 <= self.identity < math.inf and 0 <= self.cycle < math.inf):
            raise ConfigError(f"expected inner weights of 0 or more, got {self.identity} and {self.cycle}")
        if self.semantic_reduction not in ("sum", "mean"):
            raise ConfigError(f"expected semantic_reduction 'sum' or 'mean', got {self.semantic_reduction!r}")


WEIGHT_PRESETS = {"paper": LossWeights(), "ugatit": LossWeights(identity=10.0, cycle=10.0)}


def towards(judged: Judged, target: float) -> tuple[Tensor, Tensor]:
    """LSGAN (Mao et al. 2017): squared distance to 1 (real) or 0 (fake), of the patches and of the CAM logits."""
    patches = ((judged.patches_B1HW - target) ** 2).mean()
    return patches, ((judged.domain_logits_BJ - target) ** 2).mean()


def total_loss(losses: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    """Alpha of the pixel losses and the rest of the feature losses, of those that are there.

    The weights of the terms that stay are the same where others are left out.
    """
    inner = {"l1": 1.0, "gan": 1.0, "identity": weights.identity, "cycle": weights.cycle}
    pixel = [weight * losses[name] for name, weight in inner.items() if name in losses]
    feature = [losses[name] for name in ("cam", "semantic") if name in losses]
    total = weights.alpha * sum(pixel[1:], pixel[0])
    return total + (1 - weights.alpha) * sum(feature[1:], feature[0]) if feature else total


def discriminator_loss(real: Judged, fake: Judged, weights: LossWeights, *, has_cam: bool = True) -> Tensor:
    """Equation of L_GAN and of L_cam^D with LSGAN's usual labels, weighted like the generator's terms."""
    real_patches, real_cam = towards(real, 1.0)
    fake_patches, fake_cam = towards(fake, 0.0)
    patches = weights.alpha * (real_patches + fake_patches)
    return patches + (1 - weights.alpha) * (real_cam + fake_cam) if has_cam else patches


def domain_loss(source_BJ: Tensor, other_BJ: Tensor) -> Tensor:
    """L_cam^T of one translator: its own source domain towards 1, the other towards 0, as BCE on logits."""
    is_source = F.binary_cross_entropy_with_logits(source_BJ, torch.ones_like(source_BJ))
    return is_source + F.binary_cross_entropy_with_logits(other_BJ, torch.zeros_like(other_BJ))


def semantic_loss(teacher_BK: Tensor, fakes_FBK: Tensor, weights: LossWeights) -> Tensor:
    """T^2 KL(softmax(teacher/T) || softmax(fake/T)), batch mean, summed (or averaged) over the F fakes of a domain."""
    T = weights.temperature
    target_BK = F.softmax(teacher_BK.detach().float() / T, dim=1)
    losses = [F.kl_div(F.log_softmax(z_BK.float() / T, 1), target_BK, reduction="batchmean") for z_BK in fakes_FBK]
    total = torch.stack(losses).sum() * T**2
    return total if weights.semantic_reduction == "sum" else total / len(losses)
