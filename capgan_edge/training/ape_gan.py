"""APE-GAN's training: a generator that restores a from x by pixels, against a discriminator of its own.

Shen et al., arXiv 1707.05474, section 3: the generator's loss is 0.7 MSE(T(a), x) + 0.3 adversarial, the adversarial
loss binary cross-entropy. The victim plays no part but in making a. Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.defences.ape_gan import ApeGanDiscriminator
from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import purifier_from
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.training.cap_gan import ADAM_BETAS
from capgan_edge.training.config import PurifierRunConfig, check_rate
from capgan_edge.training.device import place
from capgan_edge.training.method import Optimized, Step
from capgan_edge.training.pairs import Pair, fgsm_pair
from capgan_edge.training.update import update


@dataclass(frozen=True, kw_only=True, slots=True)
class ApeGanConfig(PurifierRunConfig):
    """The defaults are the paper's weights and rate."""

    learning_rate: float = 2e-4
    """Peak rate of Adam, for the generator."""
    discriminator_learning_rate: float = 2e-4
    """Peak rate of Adam, for the discriminator."""
    mse_weight: float = 0.7
    adversarial_weight: float = 0.3
    ndf: int = 64
    """Channels of the discriminator's first convolution."""

    def __post_init__(self) -> None:
        PurifierRunConfig.__post_init__(self)
        check_rate("discriminator_learning_rate", self.discriminator_learning_rate)
        if not (0 <= self.mse_weight < math.inf and 0 <= self.adversarial_weight < math.inf) or self.ndf < 1:
            raise ConfigError(
                f"expected mse_weight and adversarial_weight of 0 or more and ndf >= 1, got {self.mse_weight}, "
                f"{self.adversarial_weight} and {self.ndf}"
            )


class ApeGan:
    """The generator, its discriminator, and their optimizers."""

    loss_names = ("mse", "adversarial", "d")
    warm_up_epochs = 0

    def __init__(self, purifier: PurifierConfig, config: ApeGanConfig, victim: nn.Module, fabric: Fabric) -> None:
        self.config, self.fabric, self.victim = config, fabric, victim
        self.t_ac = place(fabric, purifier_from(purifier))
        self.d = place(fabric, ApeGanDiscriminator(config.ndf))
        self.t_optimizer = torch.optim.Adam(self.t_ac.parameters(), config.learning_rate, ADAM_BETAS)
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), config.discriminator_learning_rate, ADAM_BETAS)

    @property
    def purifier(self) -> Purifier:
        """The generator."""
        return self.t_ac

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The trained networks by the names they have in checkpoints."""
        return {"t_ac": self.t_ac, "d": self.d}

    @property
    def optimizers(self) -> dict[str, Optimized]:
        """The generator's and the discriminator's."""
        c = self.config
        return {
            "t_optimizer": Optimized(self.t_optimizer, c.learning_rate),
            "d_optimizer": Optimized(self.d_optimizer, c.discriminator_learning_rate),
        }

    def pair(self, x_BCHW: Tensor, y_B: Tensor) -> Pair:
        """As CAP-GAN's: FGSM on f alone."""
        return fgsm_pair(self.victim, x_BCHW, y_B, self.config, self.fabric)

    def step_in(self, epoch: int) -> Step:
        """The same in every epoch."""
        return self.step

    def step(self, pair: Pair) -> dict[str, Tensor]:
        """The generator, then the discriminator on the same restored images."""
        c = self.config
        self.d.requires_grad_(False)
        with self.fabric.autocast():
            restored_BCHW = self.t_ac(pair.a_BCHW)
            judged_B = self.d(restored_BCHW)
        losses = {"mse": F.mse_loss(restored_BCHW, pair.x_BCHW), "adversarial": towards(judged_B, 1.0)}
        total = c.mse_weight * losses["mse"] + c.adversarial_weight * losses["adversarial"]
        update(self.fabric, self.t_optimizer, total, self.t_ac, max_norm=c.max_gradient_norm)
        self.d.requires_grad_(True)
        with self.fabric.autocast():
            real_B, fake_B = self.d(pair.x_BCHW), self.d(restored_BCHW.detach())
        losses["d"] = towards(real_B, 1.0) + towards(fake_B, 0.0)
        update(self.fabric, self.d_optimizer, losses["d"], self.d, max_norm=c.max_gradient_norm)
        return losses


def towards(judged_B: Tensor, target: float) -> Tensor:
    """Return the binary cross-entropy of the discriminator's logits towards 1 (clean) or 0 (restored)."""
    return F.binary_cross_entropy_with_logits(judged_B, torch.full_like(judged_B, target))
