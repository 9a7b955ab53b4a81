"""CAP-GAN's GAN and cycle in the stage `whole` of a robust run: the networks that they need beside T, and their terms.

Names are the paper's, as in `cap_gan`: A2C = T(a), C2A = T_CA(x), C2A2C = T(C2A), A2C2A = T_CA(A2C). The cycle brings
the inverse T_CA, the GAN the discriminator D_C; D_A, which judges C2A, is there with both.
All passes through T are one call on [a; x; C2A], as there and for the same reason: the running statistics that ship.
Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.discriminator import Discriminator
from capgan_edge.models.presets import PRESETS
from capgan_edge.models.purifier import Purifier, Translated
from capgan_edge.training.cap_gan import ADAM_BETAS
from capgan_edge.training.device import place
from capgan_edge.training.losses import LossWeights, discriminator_loss, towards
from capgan_edge.training.method import Optimized
from capgan_edge.training.robust_config import RobustConfig

WEIGHTS = LossWeights()  # only alpha plays a part: patches against CAM logits, in both players' losses
_SEED_OFFSET = 700_001


class CapGanTerms:
    """T_CA, D_C and D_A, of these what the weights need, in train mode; their optimizers; and the losses for all.

    Nothing of it ships. T_CA has the shape of the preset nano, at the width of T. With AWP they learn from what the
    perturbed T makes of a batch, where T's own gradient is taken too; it is T alone that climbs.
    """

    def __init__(self, config: RobustConfig, ngf: int, fabric: Fabric) -> None:
        self.t_ca: Purifier | None = None
        self.discriminators: dict[str, Discriminator] = {}
        with torch.random.fork_rng(devices=[]):  # a run without these terms draws what it always drew
            torch.default_generator.manual_seed((config.seed * 1_000_003 + _SEED_OFFSET) % 2**63)
            if config.cycle_weight:
                self.t_ca = place(fabric, Purifier(replace(PRESETS["nano"], ngf=ngf)))
            if config.gan_weight:
                names = ("d_c", "d_a") if self.t_ca is not None else ("d_c",)
                self.discriminators = {name: place(fabric, Discriminator(config.ndf, padding=PRESETS["nano"].padding))
                                       for name in names}  # fmt: skip
        self.optimizers: dict[str, Optimized] = {}
        if self.t_ca is not None:
            self.optimizers["t_ca_optimizer"] = _adam([self.t_ca], config.inverse_learning_rate)
        if self.discriminators:
            rate = config.discriminator_learning_rate
            self.optimizers["d_optimizer"] = _adam(list(self.discriminators.values()), rate)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names they have in checkpoints, which are CAP-GAN's."""
        inverse = {} if self.t_ca is None else {"t_ca": self.t_ca}
        return {**inverse, **self.discriminators}

    def translate(self, t: Purifier, a_BCHW: Tensor, x_BCHW: Tensor) -> tuple[Translated, dict[str, Tensor]]:
        """Return what T makes of [a; x], and the losses `gan`, `cycle` and `d`, of these those that there are.

        T and T_CA learn by the first two, the discriminators by the last alone; so one backward pass of a weighted sum
        is for all of them. Each discriminator is asked before it has learned from the batch, as in `cap_gan`.
        """
        if self.t_ca is None:
            out = t.translate(torch.cat([a_BCHW, x_BCHW]))
            return out, self._gan_losses((x_BCHW, out.image_BCHW.chunk(2)[0]))
        c2a_BCHW = self.t_ca(x_BCHW)
        entered_BCHW = c2a_BCHW.detach().requires_grad_()
        out = t.translate(torch.cat([a_BCHW, x_BCHW, entered_BCHW]))
        a2c_BCHW, _, c2a2c_BCHW = out.image_BCHW.chunk(3)
        losses = self._gan_losses((x_BCHW, a2c_BCHW), (a_BCHW, c2a_BCHW))
        back = F.l1_loss(c2a2c_BCHW, x_BCHW)
        losses["cycle"] = F.l1_loss(self.t_ca(a2c_BCHW), a_BCHW) + back + _handed_on(back, entered_BCHW, c2a_BCHW)
        return Translated(*(part[: 2 * len(x_BCHW)] for part in out)), losses

    def _gan_losses(self, *real_and_fake: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return both players' losses of a pair a discriminator, clean before attacked."""
        if not self.discriminators:
            return {}
        judged = list(zip(self.discriminators.values(), real_and_fake, strict=True))
        fooling = [_fooling_loss(d, fake) for d, (_, fake) in judged]
        judging = [discriminator_loss(d(real), d(fake.detach()), WEIGHTS) for d, (real, fake) in judged]
        return {"gan": torch.stack(fooling).sum(), "d": torch.stack(judging).sum()}


def cap_gan_terms(config: RobustConfig, ngf: int, fabric: Fabric) -> CapGanTerms | None:
    """Return new networks for the stage `whole`, the same for the same seed; None where no weight asks for any."""
    return CapGanTerms(config, ngf, fabric) if config.gan_weight or config.cycle_weight else None


def _adam(modules: Sequence[nn.Module], rate: float) -> Optimized:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return Optimized(torch.optim.Adam(parameters, rate, ADAM_BETAS), rate)


def _fooling_loss(d: Discriminator, fake_BCHW: Tensor) -> Tensor:
    """LSGAN of a translator: its images towards 1, by patches and by CAM logits; D gets no gradient."""
    d.requires_grad_(False)
    patches, cam = towards(d(fake_BCHW), 1.0)
    d.requires_grad_(True)
    return WEIGHTS.alpha * patches + (1 - WEIGHTS.alpha) * cam


def _handed_on(loss: Tensor, entered_BCHW: Tensor, c2a_BCHW: Tensor) -> Tensor:
    """Return 0, by which T_CA gets the gradient of this loss at C2A, and of no other loss of that call of T.

    In train mode the norms of T mix its batch: every loss of T(a) depends on C2A. Without this T_CA would learn, and by
    far larger weights, to make statistics under which the training attack fails, and which nothing has when deployed.
    """
    (gradient_BCHW,) = torch.autograd.grad(loss, entered_BCHW, retain_graph=True)
    return ((c2a_BCHW - c2a_BCHW.detach()) * gradient_BCHW).sum()
