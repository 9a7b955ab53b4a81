"""One step of CAP-GAN against Figure 4 worked out pass by pass, and the frozen victim between the losses."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from by_hand import SHAPE, WEIGHTS, bce, check_gradients, figure_4, kl, make_gan, make_pair
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks import FGSM
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.cap_gan import CapGan
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import LossWeights


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
    check_gradients(by_hand.total, [twin.t_ac, twin.t_ca], [gan.t_ac, gan.t_ca])
    check_gradients(by_hand.d, [twin.d_c, twin.d_a], [gan.d_c, gan.d_a])


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
