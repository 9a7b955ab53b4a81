"""What CAP-GAN with and without cycle share: pairs, optimizers, and a stage before the whole method.

In the semantic stage T_AC alone learns to give f what f needs, without cycle and GAN. It is not in the paper.
Shapes: B batch, C channel, H height, W width, J pooled views of the attention, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.purifier import Purifier
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import domain_loss, semantic_loss, total_loss
from capgan_edge.training.method import Optimized, Step
from capgan_edge.training.pairs import Pair, fgsm_pair
from capgan_edge.training.update import update

LOSS_NAMES = ("l1", "gan", "identity", "cycle", "cam", "semantic", "d")


class SemanticFirst(ABC):
    """A `Method` whose first epochs train T_AC alone."""

    config: CapGanConfig
    fabric: Fabric
    victim: nn.Module
    t_ac: Purifier
    t_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer

    @property
    def purifier(self) -> Purifier:
        """T_AC."""
        return self.t_ac

    @property
    def optimizers(self) -> dict[str, Optimized]:
        """The translators' and the discriminators', which waits for the semantic stage to end."""
        c = self.config
        return {
            "t_optimizer": Optimized(self.t_optimizer, c.learning_rate),
            "d_optimizer": Optimized(self.d_optimizer, c.discriminator_learning_rate, c.semantic_epochs),
        }

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Those of the semantic stage, of the terms that are on, and of the discriminators."""
        c = self.config
        is_on = {"cam": c.has_cam, "semantic": c.has_semantic, "cycle": c.has_cycle}
        return tuple(name for name in LOSS_NAMES if is_on.get(name, True))

    @property
    def warm_up_epochs(self) -> int:
        """The semantic stage."""
        return self.config.semantic_epochs

    def pair(self, x_BCHW: Tensor, y_B: Tensor) -> Pair:
        """Attack the clean batch on f alone (FGSM, true labels); every image is kept, fooled or not."""
        return fgsm_pair(self.victim, x_BCHW, y_B, self.config, self.fabric)

    def step_in(self, epoch: int) -> Step:
        """The semantic stage first, then the whole method."""
        return self.semantic_step if epoch < self.config.semantic_epochs else self.step

    def semantic_step(self, pair: Pair) -> dict[str, Tensor]:
        """Train T_AC by L1, semantic and CAM losses on A2C and C2C: of the last two, those that are on."""
        c, (x, a, z_x) = self.config, pair
        with self.fabric.autocast():
            out = self.t_ac.translate(torch.cat([a, x]))
            fake_logits_2BK = self.victim(out.image_BCHW) if c.has_semantic else None
        losses = {"l1": F.l1_loss(out.image_BCHW, torch.cat([x, x])) * 2}
        if fake_logits_2BK is not None:
            losses["semantic"] = semantic_loss(z_x, torch.stack(fake_logits_2BK.chunk(2)), c.weights)
        if c.has_cam:
            losses["cam"] = domain_loss(*out.domain_logits_BJ.chunk(2))
        update(self.fabric, self.t_optimizer, total_loss(losses, c.weights), self.t_ac, max_norm=c.max_gradient_norm)
        return losses

    @abstractmethod
    def step(self, pair: Pair) -> dict[str, Tensor]:
        """One step of the whole method: the translators, then the discriminators on the same fakes."""
