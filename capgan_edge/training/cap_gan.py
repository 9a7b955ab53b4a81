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

from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks.fgsm import fgsm_with_logits
from capgan_edge.models.discriminator import Discriminator
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import average_gradients, place
from capgan_edge.training.losses import discriminator_loss, domain_loss, semantic_loss, towards

ADAM_BETAS = (0.5, 0.999)


class Pair(NamedTuple):
    """A batch of both domains: the same augmented images, clean and attacked."""

    x_BCHW: Tensor
    a_BCHW: Tensor
    x_logits_BK: Tensor
    """f(x): the teacher of the clean domain."""


class CapGan:
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

    def pair(self, x_BCHW: Tensor, y_B: Tensor) -> Pair:
        """Attack the clean batch on f alone (FGSM, true labels); every image is kept, fooled or not."""
        with self.fabric.autocast():
            a_BCHW, x_logits_BK = fgsm_with_logits(self.victim, x_BCHW, y_B, self.config.epsilon)
        return Pair(x_BCHW, a_BCHW, x_logits_BK)

    def semantic_step(self, pair: Pair) -> dict[str, Tensor]:
        """Train T_AC alone to give f what f needs: semantic, CAM and L1 losses on A2C and C2C."""
        w, (x, a, z_x) = self.config.weights, pair
        with self.fabric.autocast():
            out = self.t_ac.translate(torch.cat([a, x]))
            fake_logits_2BK = self.victim(out.image_BCHW)
        eta_a, eta_x = out.domain_logits_BJ.chunk(2)
        losses = {
            "l1": F.l1_loss(out.image_BCHW, torch.cat([x, x])) * 2,
            "semantic": semantic_loss(z_x, torch.stack(fake_logits_2BK.chunk(2)), w),
            "cam": domain_loss(eta_a, eta_x),
        }
        total = w.alpha * losses["l1"] + (1 - w.alpha) * (losses["semantic"] + losses["cam"])
        self._update(self.t_optimizer, total, self.t_ac)
        return losses

    def step(self, pair: Pair) -> dict[str, Tensor]:
        """One step of the whole method: the translators, then the discriminators on the same fakes."""
        for d in (self.d_c, self.d_a):
            d.requires_grad_(False)
        losses, a2c, c2a = self._translator_losses(pair)
        self._update(self.t_optimizer, self._total(losses), self.t_ac, self.t_ca)
        for d in (self.d_c, self.d_a):
            d.requires_grad_(True)
        losses["d"] = self._discriminator_loss(pair, a2c.detach(), c2a.detach())
        self._update(self.d_optimizer, losses["d"], self.d_c, self.d_a)
        return losses

    def _translator_losses(self, pair: Pair) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        w, (x, a, z_x) = self.config.weights, pair
        with self.fabric.autocast():
            ca = self.t_ca.translate(torch.cat([x, a]))
            c2a, a2a = ca.image_BCHW.chunk(2)
            ac = self.t_ac.translate(torch.cat([a, x, c2a]))
            a2c, c2c, c2a2c = ac.image_BCHW.chunk(3)
            a2c2a = self.t_ca(a2c)
            with torch.no_grad():
                z_a = self.victim(a)
            logits_6BK = self.victim(torch.cat([a2c, c2c, c2a2c, c2a, a2a, a2c2a]))
            judged_c, judged_a = self.d_c(a2c), self.d_a(c2a)
        fakes_FBK = torch.stack(logits_6BK.chunk(6))
        (gan_c, cam_c), (gan_a, cam_a) = towards(judged_c, 1.0), towards(judged_a, 1.0)
        eta_ac_a, eta_ac_x, _ = ac.domain_logits_BJ.chunk(3)
        eta_ca_x, eta_ca_a = ca.domain_logits_BJ.chunk(2)
        losses = {
            "gan": gan_c + gan_a,
            "identity": F.l1_loss(c2c, x) + F.l1_loss(a2a, a),
            "cycle": F.l1_loss(a2c2a, a) + F.l1_loss(c2a2c, x),
            "cam": cam_c + cam_a + domain_loss(eta_ac_a, eta_ac_x) + domain_loss(eta_ca_x, eta_ca_a),
            "semantic": semantic_loss(z_x, fakes_FBK[:3], w) + semantic_loss(z_a, fakes_FBK[3:], w),
        }
        return losses, a2c, c2a

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        w = self.config.weights
        pixel = losses["gan"] + w.identity * losses["identity"] + w.cycle * losses["cycle"]
        return w.alpha * pixel + (1 - w.alpha) * (losses["cam"] + losses["semantic"])

    def _discriminator_loss(self, pair: Pair, a2c_BCHW: Tensor, c2a_BCHW: Tensor) -> Tensor:
        w = self.config.weights
        with self.fabric.autocast():
            real_c, fake_c = self.d_c(pair.x_BCHW), self.d_c(a2c_BCHW)
            real_a, fake_a = self.d_a(pair.a_BCHW), self.d_a(c2a_BCHW)
        return discriminator_loss(real_c, fake_c, w) + discriminator_loss(real_a, fake_a, w)

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor, *modules: nn.Module) -> None:
        optimizer.zero_grad()
        self.fabric.backward(loss)
        average_gradients(self.fabric, *modules)
        if self.config.max_gradient_norm is not None:
            for module in modules:
                nn.utils.clip_grad_norm_(module.parameters(), self.config.max_gradient_norm)
        optimizer.step()
