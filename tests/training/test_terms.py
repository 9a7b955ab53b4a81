"""CAP-GAN without some of its terms, and without its cycle: what stays is as it was, what is off has no part in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from by_hand import SHAPE, WEIGHTS, bce, check_gradients, config_of, figure_4, judged_by_hand, kl, make_gan, make_pair
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.losses import LossWeights, total_loss
from capgan_edge.training.one_way import OneWayGan

WITHOUT: dict[str, dict[str, Any]] = {
    "pixel": {"has_cam": False, "has_semantic": False},
    "pixel-cam": {"has_semantic": False},
    "pixel-semantic": {"has_cam": False},
}


def one_way(victim: nn.Module, fabric: Fabric, **terms: Any) -> OneWayGan:
    torch.manual_seed(0)
    return OneWayGan(SHAPE, config_of(has_cycle=False, **terms), victim, fabric)


def other_victim() -> SimpleResNet:
    torch.manual_seed(9)
    return SimpleResNet(20, units_per_stage=1).eval().requires_grad_(False)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_step_has_the_gradients_of_the_terms_that_are_on(
    name: str, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    gan, twin = (make_gan(tiny_victim, fabric, **WITHOUT[name]) for _ in range(2))
    pair = make_pair(gan)
    by_hand = figure_4(twin, pair, tiny_victim, WEIGHTS, **WITHOUT[name])
    losses = gan.step(pair)
    assert losses.keys() == by_hand.losses.keys() | {"d"} == set(gan.loss_names) - {"l1"}
    check_gradients(by_hand.total, [twin.t_ac, twin.t_ca], [gan.t_ac, gan.t_ca])
    check_gradients(by_hand.d, [twin.d_c, twin.d_a], [gan.d_c, gan.d_a])


@pytest.mark.parametrize("name", WITHOUT)
def test_a_semantic_step_has_the_gradients_of_the_terms_that_are_on(
    name: str, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    gan, twin = (make_gan(tiny_victim, fabric, **WITHOUT[name]) for _ in range(2))
    pair = make_pair(gan)
    x = pair.x_BCHW
    out_a, out_x = twin.t_ac.translate(pair.a_BCHW), twin.t_ac.translate(x)
    total = WEIGHTS.alpha * ((out_a.image_BCHW - x).abs().mean() + (out_x.image_BCHW - x).abs().mean())
    if "cam" in name:
        total = total + (1 - WEIGHTS.alpha) * (bce(out_a.domain_logits_BJ, 1) + bce(out_x.domain_logits_BJ, 0))
    if "semantic" in name:
        for out in (out_a, out_x):
            total = total + (1 - WEIGHTS.alpha) * kl(tiny_victim, x, out.image_BCHW, WEIGHTS.temperature)
    assert gan.semantic_step(pair).keys() == {"l1", *name.split("-")[1:]}
    check_gradients(total, [twin.t_ac], [gan.t_ac])


def test_what_the_victim_says_has_no_part_in_an_update_without_the_semantic_loss(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    first = make_gan(tiny_victim, fabric, **WITHOUT["pixel-cam"])
    second = make_gan(other_victim(), fabric, **WITHOUT["pixel-cam"])
    pair = make_pair(first)
    for gan, logits_BK in ((first, pair.x_logits_BK), (second, -pair.x_logits_BK)):
        gan.semantic_step(pair._replace(x_logits_BK=logits_BK))
        gan.step(pair._replace(x_logits_BK=logits_BK))
    for name, network in first.networks.items():
        theirs = second.networks[name].state_dict()
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in network.state_dict().items()), name


def test_without_cycle_a_step_has_the_gradients_of_t_ac_and_d_c_alone(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    gan, twin = (one_way(tiny_victim, fabric) for _ in range(2))
    pair, w = make_pair(gan), WEIGHTS
    x, a = pair.x_BCHW, pair.a_BCHW
    out_a, out_x = twin.t_ac.translate(a), twin.t_ac.translate(x)
    a2c, c2c = out_a.image_BCHW, out_x.image_BCHW
    judged = twin.d_c(a2c)
    pixel = ((judged.patches_B1HW - 1) ** 2).mean() + w.identity * (c2c - x).abs().mean()
    cam = ((judged.domain_logits_BJ - 1) ** 2).mean() + bce(out_a.domain_logits_BJ, 1) + bce(out_x.domain_logits_BJ, 0)
    semantic = kl(tiny_victim, x, a2c, w.temperature) + kl(tiny_victim, x, c2c, w.temperature)
    d = judged_by_hand(twin.d_c, x, a2c, w)
    losses = gan.step(pair)
    assert gan.networks.keys() == {"t_ac", "d_c"}
    assert losses.keys() == {"gan", "identity", "cam", "semantic", "d"} == set(gan.loss_names) - {"l1"}
    check_gradients(w.alpha * pixel + (1 - w.alpha) * (cam + semantic), [twin.t_ac], [gan.t_ac])
    check_gradients(d, [twin.d_c], [gan.d_c])


def test_without_cycle_the_semantic_stage_is_that_of_the_whole_method(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    whole, without = make_gan(tiny_victim, fabric), one_way(tiny_victim, fabric)
    pair = make_pair(whole)
    assert all(torch.equal(p, q) for p, q in zip(whole.t_ac.parameters(), without.t_ac.parameters(), strict=True)), (
        "the same seed starts from the same T_AC"
    )
    for gan in (whole, without):
        gan.semantic_step(pair)
    assert all(torch.equal(p, q) for p, q in zip(whole.t_ac.parameters(), without.t_ac.parameters(), strict=True))


def test_without_cycle_no_gradient_reaches_the_victim(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    gan, weights = one_way(tiny_victim, fabric), copy.deepcopy(tiny_victim.state_dict())
    gan.step(make_pair(gan))
    assert all(p.grad is None for p in tiny_victim.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in tiny_victim.state_dict().items())


def test_the_total_is_of_the_losses_that_are_there() -> None:
    w = LossWeights(alpha=0.75, identity=2.0, cycle=3.0)
    parts: dict[str, Tensor] = {
        name: torch.tensor(value) for name, value in
        {"gan": 1.0, "identity": 10.0, "cycle": 100.0, "cam": 1000.0, "semantic": 10000.0, "d": 7.0}.items()
    }  # fmt: skip
    assert total_loss(parts, w).item() == pytest.approx(0.75 * 321 + 0.25 * 11000)
    assert total_loss({"gan": parts["gan"], "cam": parts["cam"]}, w).item() == pytest.approx(0.75 + 250)
    assert total_loss({"l1": parts["identity"]}, w).item() == pytest.approx(7.5)
