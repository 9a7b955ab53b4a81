"""CAP-GAN's losses worked out pass by pass, as Figure 4 draws them, with all terms or some of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.training.cap_gan import CapGan, Pair
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import LossWeights
from capgan_edge.training.one_way import OneWayGan

WEIGHTS = LossWeights(alpha=0.6, temperature=4.0, identity=3.0, cycle=5.0)
SHAPE = PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, attention="gap+gmp")


def make_gan(victim: nn.Module, fabric: Fabric, weights: LossWeights = WEIGHTS, **terms: Any) -> CapGan:
    torch.manual_seed(0)
    return CapGan(SHAPE, config_of(weights, **terms), victim, fabric)


def config_of(weights: LossWeights = WEIGHTS, **terms: Any) -> CapGanConfig:
    return CapGanConfig(batch_size=3, ndf=3, weights=weights, learning_rate=1e-3, **terms)


def make_pair(gan: CapGan | OneWayGan, num: int = 3) -> Pair:
    torch.manual_seed(2)
    return gan.pair(torch.rand(num, 3, 32, 32), torch.arange(num))


class ByHand(NamedTuple):
    """The parts of the generators' loss, and the discriminators' loss."""

    losses: dict[str, Tensor]
    total: Tensor
    d: Tensor


def bce(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def kl(victim: nn.Module, real: Tensor, fake: Tensor, T: float) -> Tensor:
    p, q = torch.softmax(victim(real) / T, 1).detach(), torch.softmax(victim(fake) / T, 1)
    return T * T * (p * (p.log() - q.log())).sum(1).mean()


def figure_4(gan: CapGan, pair: Pair, victim: nn.Module, w: LossWeights, *, has_cam: bool = True,
             has_semantic: bool = True) -> ByHand:  # fmt: skip
    """Every pass on its own, as the paper draws it; the sums are of the terms that are on."""
    x, a = pair.x_BCHW, pair.a_BCHW
    ac_a, ac_x, ca_x, ca_a = gan.t_ac.translate(a), gan.t_ac.translate(x), gan.t_ca.translate(x), gan.t_ca.translate(a)
    a2c, c2c, c2a, a2a = (out.image_BCHW for out in (ac_a, ac_x, ca_x, ca_a))
    c2a2c, a2c2a = gan.t_ac(c2a), gan.t_ca(a2c)
    judged_c, judged_a = gan.d_c(a2c), gan.d_a(c2a)
    losses = {
        "gan": ((judged_c.patches_B1HW - 1) ** 2).mean() + ((judged_a.patches_B1HW - 1) ** 2).mean(),
        "identity": (c2c - x).abs().mean() + (a2a - a).abs().mean(),
        "cycle": (a2c2a - a).abs().mean() + (c2a2c - x).abs().mean(),
    }
    if has_cam:
        losses["cam"] = (
            ((judged_c.domain_logits_BJ - 1) ** 2).mean() + ((judged_a.domain_logits_BJ - 1) ** 2).mean()
            + bce(ac_a.domain_logits_BJ, 1) + bce(ac_x.domain_logits_BJ, 0)
            + bce(ca_x.domain_logits_BJ, 1) + bce(ca_a.domain_logits_BJ, 0)
        )  # fmt: skip
    if has_semantic:
        clean = sum((kl(victim, x, fake, w.temperature) for fake in (a2c, c2c, c2a2c)), torch.zeros(()))
        losses["semantic"] = clean + sum(kl(victim, a, fake, w.temperature) for fake in (c2a, a2a, a2c2a))
    pixel = losses["gan"] + w.identity * losses["identity"] + w.cycle * losses["cycle"]
    feature = sum((losses[name] for name in ("cam", "semantic") if name in losses), torch.zeros(()))
    d = judged_by_hand(gan.d_c, x, a2c, w, has_cam=has_cam) + judged_by_hand(gan.d_a, a, c2a, w, has_cam=has_cam)
    return ByHand(losses, w.alpha * pixel + (1 - w.alpha) * feature, d)


def judged_by_hand(d: nn.Module, real: Tensor, fake: Tensor, w: LossWeights, *, has_cam: bool = True) -> Tensor:
    """LSGAN's loss of a discriminator: of its patches, and of its auxiliary logit."""
    on_real, on_fake = d(real), d(fake.detach())
    patches = ((on_real[0] - 1) ** 2).mean() + (on_fake[0] ** 2).mean()
    cam = ((on_real[1] - 1) ** 2).mean() + (on_fake[1] ** 2).mean()
    return w.alpha * patches + ((1 - w.alpha) * cam if has_cam else 0)


def gradients_of(loss: Tensor, *modules: nn.Module) -> list[Tensor]:
    parameters = [p for module in modules for p in module.parameters()]
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=False))


def check_gradients(loss: Tensor, twins: list[nn.Module], trained: list[nn.Module]) -> None:
    """The gradients that a step left in `trained` are those of a loss by hand in their twins."""
    got = [p.grad for module in trained for p in module.parameters()]
    for gradient, expected in zip(got, gradients_of(loss, *twins), strict=True):
        assert gradient is not None
        assert (gradient - expected).norm() <= 1e-3 * expected.norm() + 1e-6
