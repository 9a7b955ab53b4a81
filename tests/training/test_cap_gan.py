"""One step of CAP-GAN against Figure 4 worked out pass by pass, and the frozen victim between the losses."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks import FGSM
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.cap_gan import CapGan, Pair
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import LossWeights

WEIGHTS = LossWeights(alpha=0.6, temperature=4.0, identity=3.0, cycle=5.0)
SHAPE = PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, attention="gap+gmp")


def make_gan(victim: nn.Module, fabric: Fabric, weights: LossWeights = WEIGHTS) -> CapGan:
    torch.manual_seed(0)
    return CapGan(SHAPE, CapGanConfig(batch_size=3, ndf=3, weights=weights, learning_rate=1e-3), victim, fabric)


def make_pair(gan: CapGan, num: int = 3) -> Pair:
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


def figure_4(gan: CapGan, pair: Pair, victim: nn.Module, w: LossWeights) -> ByHand:
    """Every pass on its own, as the paper draws it."""
    x, a = pair.x_BCHW, pair.a_BCHW
    ac_a, ac_x, ca_x, ca_a = gan.t_ac.translate(a), gan.t_ac.translate(x), gan.t_ca.translate(x), gan.t_ca.translate(a)
    a2c, c2c, c2a, a2a = (out.image_BCHW for out in (ac_a, ac_x, ca_x, ca_a))
    c2a2c, a2c2a = gan.t_ac(c2a), gan.t_ca(a2c)
    judged_c, judged_a = gan.d_c(a2c), gan.d_a(c2a)
    losses = {
        "gan": ((judged_c.patches_B1HW - 1) ** 2).mean() + ((judged_a.patches_B1HW - 1) ** 2).mean(),
        "identity": (c2c - x).abs().mean() + (a2a - a).abs().mean(),
        "cycle": (a2c2a - a).abs().mean() + (c2a2c - x).abs().mean(),
        "cam": ((judged_c.domain_logits_BJ - 1) ** 2).mean() + ((judged_a.domain_logits_BJ - 1) ** 2).mean()
        + bce(ac_a.domain_logits_BJ, 1) + bce(ac_x.domain_logits_BJ, 0)
        + bce(ca_x.domain_logits_BJ, 1) + bce(ca_a.domain_logits_BJ, 0),
        "semantic": sum((kl(victim, x, fake, w.temperature) for fake in (a2c, c2c, c2a2c)), torch.zeros(()))
        + sum((kl(victim, a, fake, w.temperature) for fake in (c2a, a2a, a2c2a)), torch.zeros(())),
    }  # fmt: skip
    pixel = losses["gan"] + w.identity * losses["identity"] + w.cycle * losses["cycle"]
    total = w.alpha * pixel + (1 - w.alpha) * (losses["cam"] + losses["semantic"])
    d = torch.zeros(())
    for network, real, fake in ((gan.d_c, x, a2c.detach()), (gan.d_a, a, c2a.detach())):
        on_real, on_fake = network(real), network(fake)
        d = d + w.alpha * (((on_real[0] - 1) ** 2).mean() + (on_fake[0] ** 2).mean())
        d = d + (1 - w.alpha) * (((on_real[1] - 1) ** 2).mean() + (on_fake[1] ** 2).mean())
    return ByHand(losses, total, d)


def gradients_of(loss: Tensor, *modules: nn.Module) -> list[Tensor]:
    parameters = [p for module in modules for p in module.parameters()]
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=False))


@pytest.mark.parametrize("weights", [WEIGHTS, LossWeights(alpha=0.0), LossWeights(alpha=1.0)],
                         ids=["between", "features alone", "pixels alone"])  # fmt: skip
def test_a_step_has_the_losses_and_the_gradients_of_figure_4(
    tiny_victim: SimpleResNet, fabric: Fabric, weights: LossWeights
) -> None:
    gan = make_gan(tiny_victim, fabric, weights)
    pair = make_pair(gan)
    twin = make_gan(tiny_victim, fabric, weights)
    by_hand = figure_4(twin, pair, tiny_victim, weights)
    losses = gan.step(pair)
    for name, value in (by_hand.losses | {"d": by_hand.d}).items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-5), name
    for loss, names in ((by_hand.total, ("t_ac", "t_ca")), (by_hand.d, ("d_c", "d_a"))):
        expected = gradients_of(loss, *(twin.networks[name] for name in names))
        got = [p.grad for name in names for p in gan.networks[name].parameters()]
        for gradient, by_hand_gradient in zip(got, expected, strict=True):
            assert gradient is not None
            assert (gradient - by_hand_gradient).norm() <= 1e-3 * by_hand_gradient.norm() + 1e-6


def test_a_semantic_step_has_the_losses_of_a2c_and_c2c_and_trains_the_purifier_alone(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    gan = make_gan(tiny_victim, fabric)
    pair, before = make_pair(gan), copy.deepcopy(gan.networks)
    t_ac = copy.deepcopy(gan.t_ac)
    out_a, out_x = t_ac.translate(pair.a_BCHW), t_ac.translate(pair.x_BCHW)
    x = pair.x_BCHW
    losses = gan.semantic_step(pair)
    l1 = (out_a.image_BCHW - x).abs().mean() + (out_x.image_BCHW - x).abs().mean()
    semantic = kl(tiny_victim, x, out_a.image_BCHW, 4.0) + kl(tiny_victim, x, out_x.image_BCHW, 4.0)
    torch.testing.assert_close(losses["l1"], l1)
    torch.testing.assert_close(losses["semantic"], semantic, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses["cam"], bce(out_a.domain_logits_BJ, 1) + bce(out_x.domain_logits_BJ, 0))
    changed = {
        name for name, network in gan.networks.items()
        if any(not torch.equal(p, q) for p, q in zip(network.parameters(), before[name].parameters(), strict=True))
    }  # fmt: skip
    assert changed == {"t_ac"}


def test_gradients_flow_through_the_frozen_victim_and_never_into_it(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    gan = make_gan(tiny_victim, fabric, LossWeights(alpha=0.0))
    pair, weights = make_pair(gan), copy.deepcopy(tiny_victim.state_dict())
    kl(tiny_victim, pair.x_BCHW, gan.t_ac(pair.a_BCHW), 4.0).backward()  # type: ignore[no-untyped-call]
    last = gan.t_ac.end[-1].weight
    assert isinstance(last, Tensor)
    assert last.grad is not None
    assert last.grad.abs().max() > 0
    gan.step(pair)
    gan.semantic_step(pair)
    assert all(p.grad is None for p in tiny_victim.parameters())
    assert not tiny_victim.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in tiny_victim.state_dict().items())


def test_a_step_trains_all_four_networks(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    gan = make_gan(tiny_victim, fabric)
    before = copy.deepcopy(gan.networks)
    gan.step(make_pair(gan))
    for name, network in gan.networks.items():
        pairs = zip(network.parameters(), before[name].parameters(), strict=True)
        assert all(not torch.equal(new, old) for new, old in pairs), name
        assert all(p.requires_grad for p in network.parameters()), name


def test_the_pair_is_the_clean_batch_and_its_fgsm_twin_on_the_victim_alone(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    gan = make_gan(tiny_victim, fabric)
    pair = make_pair(gan)
    expected = FGSM(epsilon=8 / 255)(tiny_victim, pair.x_BCHW, torch.arange(3)).images_BCHW
    torch.testing.assert_close(pair.a_BCHW, expected)
    torch.testing.assert_close(pair.x_logits_BK, tiny_victim(pair.x_BCHW))


def test_a_gradient_norm_limits_the_gradient_of_each_network(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    config = CapGanConfig(batch_size=3, ndf=3, max_gradient_norm=1e-3)
    gan = CapGan(SHAPE, config, tiny_victim, fabric)
    gan.step(make_pair(gan))
    for network in gan.networks.values():
        norm = torch.linalg.vector_norm(
            torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None])
        )
        assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_the_statistics_that_ship_are_of_the_batches_that_were_trained_on(fabric: Fabric) -> None:
    """A second call of T_AC in a step, on one domain alone, would move its running statistics to another mixture."""
    torch.manual_seed(1)
    victim = SimpleResNet(3, units_per_stage=1).eval().requires_grad_(False)
    gan = CapGan(replace(SHAPE, norm="batch"), CapGanConfig(batch_size=3, ndf=3, learning_rate=1e-9), victim, fabric)
    norm = gan.t_ac.stem.norm
    assert isinstance(norm, nn.BatchNorm2d)
    norm.momentum = 1.0
    pair = make_pair(gan)
    gan.step(pair)
    assert int(norm.num_batches_tracked) == 1
    with torch.no_grad():
        c2a_BCHW = gan.t_ca(torch.cat([pair.x_BCHW, pair.a_BCHW]))[: len(pair.x_BCHW)]
        seen = torch.cat([pair.a_BCHW, pair.x_BCHW, c2a_BCHW])
        mean_C = gan.t_ac.stem.conv(2 * seen - 1).mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean_C, rtol=1e-3, atol=1e-3)
