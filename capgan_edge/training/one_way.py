"""CAP-GAN without cycle (Table VI): T_AC before f and one discriminator; nothing passes through T_CA.

"Without cycle-consistent learning in both pixel-level and feature-level": no L_cyc, no semantic loss on C2A2C and
A2C2A. What is left of T_CA's losses does not reach T_AC, so T_CA and D_A are left out; the losses of T_AC that stay are
those of `cap_gan`. T_AC is called once, on [a; x], for the reason that is given there.
Shapes: B batch, C channel, H height, W width, J pooled views, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.discriminator import Discriminator
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.training.cap_gan import ADAM_BETAS
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import place
from capgan_edge.training.losses import discriminator_loss, domain_loss, semantic_loss, total_loss, towards
from capgan_edge.training.pairs import Pair
from capgan_edge.training.semantic_stage import SemanticFirst
from capgan_edge.training.update import update


class OneWayGan(SemanticFirst):
    """Purifier T_AC, the discriminator of the clean domain, and their optimizers."""

    def __init__(self, purifier: PurifierConfig, config: CapGanConfig, victim: nn.Module, fabric: Fabric) -> None:
        self.config, self.fabric, self.victim = config, fabric, victim
        self.t_ac = place(fabric, Purifier(purifier))
        judge = Discriminator(config.ndf, attention=config.discriminator_attention, padding=purifier.padding)
        self.d_c = place(fabric, judge)
        self.t_optimizer = torch.optim.Adam(self.t_ac.parameters(), config.learning_rate, ADAM_BETAS)
        self.d_optimizer = torch.optim.Adam(self.d_c.parameters(), config.discriminator_learning_rate, ADAM_BETAS)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The trained networks by the names they have in checkpoints."""
        return {"t_ac": self.t_ac, "d_c": self.d_c}

    def step(self, pair: Pair) -> dict[str, Tensor]:
        """The translator, then the discriminator on the same fakes."""
        c = self.config
        self.d_c.requires_grad_(False)
        losses, a2c = self._translator_losses(pair)
        update(self.fabric, self.t_optimizer, total_loss(losses, c.weights), self.t_ac, max_norm=c.max_gradient_norm)
        self.d_c.requires_grad_(True)
        with self.fabric.autocast():
            real, fake = self.d_c(pair.x_BCHW), self.d_c(a2c.detach())
        losses["d"] = discriminator_loss(real, fake, c.weights, has_cam=c.has_cam)
        update(self.fabric, self.d_optimizer, losses["d"], self.d_c, max_norm=c.max_gradient_norm)
        return losses

    def _translator_losses(self, pair: Pair) -> tuple[dict[str, Tensor], Tensor]:
        c, (x, a, z_x) = self.config, pair
        with self.fabric.autocast():
            out = self.t_ac.translate(torch.cat([a, x]))
            a2c, c2c = out.image_BCHW.chunk(2)
            judged = self.d_c(a2c)
            fake_logits_2BK = self.victim(out.image_BCHW) if c.has_semantic else None
        gan, cam = towards(judged, 1.0)
        losses = {"gan": gan, "identity": F.l1_loss(c2c, x)}
        if c.has_cam:
            losses["cam"] = cam + domain_loss(*out.domain_logits_BJ.chunk(2))
        if fake_logits_2BK is not None:
            losses["semantic"] = semantic_loss(z_x, torch.stack(fake_logits_2BK.chunk(2)), c.weights)
        return losses, a2c
