"""CAP-GAN itself: the four networks and one step of training (Section III and Figure 4 of the paper).

Names follow the paper: x clean, a adversarial, A2C = T_AC(a), C2A = T_CA(x), C2C = T_AC(x), A2A = T_CA(a),
C2A2C = T_AC(C2A), A2C2A = T_CA(A2C). Passes that need the same network are one call: T_CA on [x; a], then T_AC on
[a; x; C2A], then T_CA on A2C; the frozen victim f on all six fakes at once.
Where the preset has BatchNorm, that one call of T_AC is what makes it work: the running statistics that ship are those
of the batches that it was trained on. A call on C2A alone pulls them to another mixture of the two domains, and the
purifier of the training is not the one that is deployed: within an epoch it no longer purifies.
Shapes: B batch, C channel, H height, W width, J pooled views, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.discriminator import Discriminator
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import place
from capgan_edge.training.losses import discriminator_loss, domain_loss, semantic_loss, total_loss, towards
from capgan_edge.training.pairs import Pair
from capgan_edge.training.semantic_stage import SemanticFirst
from capgan_edge.training.update import update

__all__ = ["ADAM_BETAS", "CapGan", "Pair"]

ADAM_BETAS = (0.5, 0.999)


class CapGan(SemanticFirst):
    """Purifier T_AC, its inverse T_CA, a discriminator a domain, and their optimizers."""

    def __init__(self, purifier: PurifierConfig, config: CapGanConfig, victim: nn.Module, fabric: Fabric) -> None:
        self.config, self.fabric, self.victim = config, fabric, victim
        self.t_ac = place(fabric, Purifier(purifier))
        self.t_ca = place(fabric, Purifier(purifier))
        ndf, attention, padding = config.ndf, config.discriminator_attention, purifier.padding
        self.d_c = place(fabric, Discriminator(ndf, attention=attention, padding=padding))
        self.d_a = place(fabric, Discriminator(ndf, attention=attention, padding=padding))
        self.t_optimizer = torch.optim.Adam(
            [*self.t_ac.parameters(), *self.t_ca.parameters()], config.learning_rate, ADAM_BETAS
        )
        self.d_optimizer = torch.optim.Adam(
            [*self.d_c.parameters(), *self.d_a.parameters()], config.discriminator_learning_rate, ADAM_BETAS
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The trained networks by the names they have in checkpoints."""
        return {"t_ac": self.t_ac, "t_ca": self.t_ca, "d_c": self.d_c, "d_a": self.d_a}

    def step(self, pair: Pair) -> dict[str, Tensor]:
        """One step of the whole method: the translators, then the discriminators on the same fakes."""
        max_norm = self.config.max_gradient_norm
        for d in (self.d_c, self.d_a):
            d.requires_grad_(False)
        losses, a2c, c2a = self._translator_losses(pair)
        total = total_loss(losses, self.config.weights)
        update(self.fabric, self.t_optimizer, total, self.t_ac, self.t_ca, max_norm=max_norm)
        for d in (self.d_c, self.d_a):
            d.requires_grad_(True)
        losses["d"] = self._discriminator_loss(pair, a2c.detach(), c2a.detach())
        update(self.fabric, self.d_optimizer, losses["d"], self.d_c, self.d_a, max_norm=max_norm)
        return losses

    def _translator_losses(self, pair: Pair) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        w, (x, a, z_x) = self.config.weights, pair
        with self.fabric.autocast():
            ca = self.t_ca.translate(torch.cat([x, a]))
            c2a, a2a = ca.image_BCHW.chunk(2)
            ac = self.t_ac.translate(torch.cat([a, x, c2a]))
            a2c, c2c, c2a2c = ac.image_BCHW.chunk(3)
            a2c2a = self.t_ca(a2c)
            told = self._victim_logits(a, a2c, c2c, c2a2c, c2a, a2a, a2c2a) if self.config.has_semantic else None
            judged_c, judged_a = self.d_c(a2c), self.d_a(c2a)
        (gan_c, cam_c), (gan_a, cam_a) = towards(judged_c, 1.0), towards(judged_a, 1.0)
        losses = {
            "gan": gan_c + gan_a,
            "identity": F.l1_loss(c2c, x) + F.l1_loss(a2a, a),
            "cycle": F.l1_loss(a2c2a, a) + F.l1_loss(c2a2c, x),
        }
        if self.config.has_cam:
            eta_ac_a, eta_ac_x, _ = ac.domain_logits_BJ.chunk(3)
            eta_ca_x, eta_ca_a = ca.domain_logits_BJ.chunk(2)
            losses["cam"] = cam_c + cam_a + domain_loss(eta_ac_a, eta_ac_x) + domain_loss(eta_ca_x, eta_ca_a)
        if told is not None:
            z_a, fakes_FBK = told
            losses["semantic"] = semantic_loss(z_x, fakes_FBK[:3], w) + semantic_loss(z_a, fakes_FBK[3:], w)
        return losses, a2c, c2a

    def _victim_logits(self, a_BCHW: Tensor, *fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(a), the teacher of the attacked domain, and the logits of the F fakes, [F, B, K]."""
        with torch.no_grad():
            z_a = self.victim(a_BCHW)
        return z_a, torch.stack(self.victim(torch.cat(fakes)).chunk(len(fakes)))

    def _discriminator_loss(self, pair: Pair, a2c_BCHW: Tensor, c2a_BCHW: Tensor) -> Tensor:
        w, has_cam = self.config.weights, self.config.has_cam
        with self.fabric.autocast():
            real_c, fake_c = self.d_c(pair.x_BCHW), self.d_c(a2c_BCHW)
            real_a, fake_a = self.d_a(pair.a_BCHW), self.d_a(c2a_BCHW)
        of_c = discriminator_loss(real_c, fake_c, w, has_cam=has_cam)
        return of_c + discriminator_loss(real_a, fake_a, w, has_cam=has_cam)
