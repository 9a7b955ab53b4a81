"""CAP-GAN's step as one would type it down from the paper: every network called once a term. For comparison alone.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.training.cap_gan import CapGan, Pair
from capgan_edge.training.losses import domain_loss, semantic_loss, towards


class PlainCapGan(CapGan):
    """The same losses of the same networks, without passes shared."""

    def _translator_losses(self, pair: Pair) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        w, (x, a, z_x) = self.config.weights, pair
        ca_x, ca_a = self.t_ca.translate(x), self.t_ca.translate(a)
        c2a, a2a = ca_x.image_BCHW, ca_a.image_BCHW
        ac_a, ac_x = self.t_ac.translate(a), self.t_ac.translate(x)
        a2c, c2c = ac_a.image_BCHW, ac_x.image_BCHW
        c2a2c, a2c2a = self.t_ac(c2a), self.t_ca(a2c)
        with torch.no_grad():
            z_a = self.victim(a)
        clean_3BK = torch.stack([self.victim(fake) for fake in (a2c, c2c, c2a2c)])
        attacked_3BK = torch.stack([self.victim(fake) for fake in (c2a, a2a, a2c2a)])
        (gan_c, cam_c), (gan_a, cam_a) = towards(self.d_c(a2c), 1.0), towards(self.d_a(c2a), 1.0)
        cam_t = domain_loss(ac_a.domain_logits_BJ, ac_x.domain_logits_BJ)
        cam_t = cam_t + domain_loss(ca_x.domain_logits_BJ, ca_a.domain_logits_BJ)
        losses = {
            "gan": gan_c + gan_a,
            "identity": F.l1_loss(c2c, x) + F.l1_loss(a2a, a),
            "cycle": F.l1_loss(a2c2a, a) + F.l1_loss(c2a2c, x),
            "cam": cam_c + cam_a + cam_t,
            "semantic": semantic_loss(z_x, clean_3BK, w) + semantic_loss(z_a, attacked_3BK, w),
        }
        return losses, a2c, c2a
