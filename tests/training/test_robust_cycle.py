"""CAP-GAN's GAN and cycle in a robust run: their terms, whom these move, in which stage, and resuming with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from robust_runs import CONFIG, SHAPE
from torch import Tensor, nn

from capgan_edge.models.discriminator import Judged
from capgan_edge.models.presets import purifier_from
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.device import Precision, start_fabric
from capgan_edge.training.losses import LossWeights, domain_loss, semantic_loss
from capgan_edge.training.robust_attack import craft
from capgan_edge.training.robust_cycle import CapGanTerms, cap_gan_terms
from capgan_edge.training.robust_labels import soft_labels
from capgan_edge.training.robust_stages import Stage, StageName
from capgan_edge.training.robust_steps import RobustSteps, divergence

Interrupt = Callable[[Fabric, int], None]
Gradients = list[Tensor | None]
BOTH = {"gan_weight": 0.3, "cycle_weight": 0.7}
NETWORKS: list[tuple[dict[str, float], set[str]]] = [
    (BOTH, {"t_ca", "d_c", "d_a"}), ({"gan_weight": 0.3}, {"d_c"}), ({"cycle_weight": 0.7}, {"t_ca"}), ({}, set()),
]  # fmt: skip


def entered(victim: nn.Module, fabric: Fabric, name: StageName = "whole", **settings: Any) -> RobustSteps:
    """Return steps whose painter and whose T_CA have left zero, so that every layer has a gradient."""
    torch.manual_seed(0)
    purifier = purifier_from(SHAPE)
    assert isinstance(purifier, RobustPurifier)
    nn.init.normal_(purifier.painter.end[-1].weight, std=0.1)
    steps = RobustSteps(purifier, victim, replace(CONFIG, ndf=2, **settings), fabric)
    steps.enter(Stage(name=name, first_epoch=0, num_epochs=1, learning_rate=0.05, optimizer="sgd"))
    if "t_ca" in steps.auxiliary:
        nn.init.normal_(cast(Any, steps.auxiliary["t_ca"]).end[-1].weight, std=0.1)
    return steps


def make_batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.rand(6, 3, 32, 32), soft_labels(torch.arange(6), 20, 0.0)


def stepped(steps: RobustSteps, gamma: float = 0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return steps.step("whole", *make_batch(), 0, generator, awp_gamma=gamma)[0]


def parameters_of(steps: RobustSteps) -> dict[str, list[nn.Parameter]]:
    networks: dict[str, nn.Module] = {"t": steps.purifier, **steps.auxiliary}
    return {name: list(network.parameters()) for name, network in networks.items()}


@pytest.mark.parametrize(("weights", "names"), NETWORKS)
def test_the_terms_and_their_gradients_are_cap_gans_of_the_networks_that_the_weights_need(
    weights: dict[str, float], names: set[str], tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x, targets_BK) = entered(tiny_victim, fabric, **weights), make_batch()
    assert set(steps.auxiliary) == names
    for network in (steps.purifier, *steps.auxiliary.values()):
        network.eval()  # where images do not depend on each other, a pass each is one call
    a = (x + 0.1).clamp(0, 1)
    found, _ = steps._whole_losses(x, a, targets_BK)
    by_hand = figure_4(steps.purifier, steps.auxiliary, x, a)
    assert found.keys() - {"attacked", "kl", "semantic", "l1", "domain"} == by_hand.keys()
    for name, value in by_hand.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
        for network, parameters in parameters_of(steps).items():
            if (name == "d") == network.startswith("d_"):  # the others must not learn from it: tested below
                for got, wanted in zip(gradients(found[name], parameters), gradients(value, parameters), strict=True):
                    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-6)


def figure_4(t: nn.Module, networks: dict[str, nn.Module], x: Tensor, a: Tensor) -> dict[str, Tensor]:
    """Every pass on its own, as the paper draws it, where there are the networks for it."""
    t_ca, d_c, d_a = (networks.get(name) for name in ("t_ca", "d_c", "d_a"))

    def squares(judged: Judged, target: float) -> Tensor:
        return 0.7 * (judged[0] - target).square().mean() + 0.3 * (judged[1] - target).square().mean()

    losses = {}
    if t_ca is not None:
        losses["cycle"] = (t_ca(t(a)) - a).abs().mean() + (t(t_ca(x)) - x).abs().mean()
    if d_c is not None:
        losses |= {"gan": squares(d_c(t(a)), 1), "d": squares(d_c(x), 1) + squares(d_c(t(a)), 0)}
    if d_a is not None and t_ca is not None:
        losses["gan"] = losses["gan"] + squares(d_a(t_ca(x)), 1)
        losses["d"] = losses["d"] + squares(d_a(a), 1) + squares(d_a(t_ca(x)), 0)
    return losses


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_discriminators_learn_by_their_own_loss_alone_and_the_translators_by_the_rest(
    precision: Precision, tiny_victim: SimpleResNet
) -> None:
    steps, (x_BCHW, targets_BK) = entered(tiny_victim, start_fabric(precision), **BOTH), make_batch()
    losses, _ = steps._losses("whole", x_BCHW, (x_BCHW + 0.1).clamp(0, 1), targets_BK, None)

    def reached(loss: Tensor) -> set[str]:
        return {name for name, parameters in parameters_of(steps).items()
                if any(g is not None and bool(g.any()) for g in gradients(loss, parameters))}  # fmt: skip

    assert {name: reached(losses[name]) for name in ("gan", "cycle", "d", "attacked", "kl", "l1")} == {
        "gan": {"t", "t_ca"}, "cycle": {"t", "t_ca"}, "d": {"d_c", "d_a"}, "attacked": {"t"}, "kl": {"t"}, "l1": {"t"},
    }  # fmt: skip


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> Gradients:
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_a_step_is_by_the_weighted_gradients_and_clips_those_of_t_alone(
    gamma: float, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered(tiny_victim, fabric, max_gradient_norm=0.01, **BOTH), make_batch()
    twin, c = copy.deepcopy(steps), steps.config
    found = stepped(steps, gamma)

    generator = torch.Generator().manual_seed(0)
    twin.purifier.eval()
    a_BCHW = craft(twin.attacked("whole"), x_BCHW, targets_BK, epsilon=c.epsilon, steps=0,
                   generator=generator)  # fmt: skip
    twin.purifier.train()
    losses, _ = twin._whole_losses(x_BCHW, a_BCHW, targets_BK)
    assert {name: float(loss.detach()) for name, loss in found.items()} == {
        name: float(loss.detach()) for name, loss in losses.items()
    }, "what is told is of the weights proper"
    own = parameters_of(twin)
    if gamma:
        up = gradients(losses["attacked"] + c.beta * losses["kl"], own["t"])
        with torch.no_grad():
            for weight, gradient in zip(own["t"], up, strict=True):
                if gradient is not None and weight.ndim > 1:
                    weight += gamma * weight.norm() * gradient / (gradient.norm() + 1e-20)
        losses, _ = twin._whole_losses(x_BCHW, a_BCHW, targets_BK)
    added = c.gan_weight * losses["gan"] + c.cycle_weight * losses["cycle"]
    robust = (losses["attacked"] + c.beta * losses["kl"] + c.semantic_weight * losses["semantic"]
              + c.l1_weight * losses["l1"] + c.domain_weight * losses["domain"])  # fmt: skip
    expected = {name: gradients(losses["d"] if name.startswith("d") else added, own[name]) for name in steps.auxiliary}
    whole = [g for g in gradients(robust + added, own["t"]) if g is not None]
    norm = torch.stack([g.norm() for g in whole]).norm()
    assert norm > 0.1, "it is clipped"
    expected["t"] = [g * 0.01 / norm for g in whole]
    for name, parameters in parameters_of(steps).items():
        got = [p.grad for p in parameters if p.grad is not None]
        for gradient, wanted in zip(got, (g for g in expected[name] if g is not None), strict=True):
            assert (gradient - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6, name
        assert max(float(g.abs().max()) for g in got) > 1e-5, name


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_all_of_them_learn_and_the_victim_does_not(gamma: float, tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    steps = entered(tiny_victim, fabric, discriminator_learning_rate=5e-3, inverse_learning_rate=5e-3, **BOTH)
    networks = {"t": steps.purifier, "f": tiny_victim, **steps.auxiliary}
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
    losses = [{name: float(loss.detach()) for name, loss in stepped(steps, gamma).items()} for _ in range(6)]
    moved = {name: all(not torch.equal(p, old) for p, old in zip(network.parameters(), before[name], strict=True))
             for name, network in networks.items()}  # fmt: skip
    assert moved == {"t": True, "f": False, "t_ca": True, "d_c": True, "d_a": True}
    assert not any(p.grad is not None for p in tiny_victim.parameters())
    assert losses[-1]["d"] < losses[0]["d"]
    assert losses[-1]["cycle"] < losses[0]["cycle"]


@pytest.mark.parametrize("name", ["head", "draw", "painter"])
def test_no_other_stage_has_them(name: StageName, tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    steps = entered(tiny_victim, fabric, **BOTH)
    steps.enter(Stage(name=name, first_epoch=0, num_epochs=1, learning_rate=0.05, optimizer="adam"))
    losses, _ = steps.step(name, *make_batch(), 0, torch.Generator())
    assert not losses.keys() & {"gan", "cycle", "d"}
    assert (set(steps.auxiliary), set(steps.optimizers)) == (set(), {"optimizer"})


def test_awp_climbs_t_alone(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    steps = entered(tiny_victim, fabric, **BOTH)
    before = {name: [p.detach().clone() for p in ps] for name, ps in parameters_of(steps).items()}
    seen: dict[str, bool] = {}

    def interrupted(loss: Tensor) -> None:
        seen.update({name: all(torch.equal(*both) for both in zip(ps, before[name], strict=True))
                     for name, ps in parameters_of(steps).items()})  # fmt: skip
        assert not any(p.grad is not None for ps in parameters_of(steps).values() for p in ps)
        raise KeyboardInterrupt

    fabric.backward = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        stepped(steps, gamma=0.05)
    assert seen == {"t": False, "t_ca": True, "d_c": True, "d_a": True}


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_the_statistics_of_t_are_of_one_call_on_all_three(
    gamma: float, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered(tiny_victim, fabric, **BOTH), make_batch()
    twin = copy.deepcopy(steps)
    stepped(steps, gamma)
    twin.purifier.eval()
    a_BCHW = craft(twin.attacked("whole"), x_BCHW, targets_BK, epsilon=CONFIG.epsilon, steps=0,
                   generator=torch.Generator().manual_seed(0))  # fmt: skip
    with torch.no_grad():
        twin.purifier.train()(torch.cat([a_BCHW, x_BCHW, twin.auxiliary["t_ca"](x_BCHW)]))
    wanted = dict(twin.purifier.named_buffers())
    assert wanted
    for name, buffer in steps.purifier.named_buffers():
        torch.testing.assert_close(buffer, wanted[name], msg=name)


def test_without_weights_a_step_is_bit_for_bit_what_it_was(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    steps, (x_BCHW, targets_BK) = entered(tiny_victim, fabric), make_batch()
    twin, c = copy.deepcopy(steps), CONFIG
    stepped(steps)
    t = twin.purifier.eval()
    a_BCHW = craft(twin.attacked("whole"), x_BCHW, targets_BK, epsilon=c.epsilon, steps=0,
                   generator=torch.Generator().manual_seed(0))  # fmt: skip
    out = t.train().translate(torch.cat([a_BCHW, x_BCHW]))
    logits_a_BK, logits_x_BK = tiny_victim(out.image_BCHW).chunk(2)
    parts = [
        F.cross_entropy(logits_a_BK, targets_BK), c.beta * divergence(logits_x_BK, logits_a_BK),
        c.semantic_weight * semantic_loss(tiny_victim(x_BCHW), logits_x_BK[None], LossWeights()),
        c.l1_weight * F.l1_loss(out.image_BCHW.chunk(2)[1], x_BCHW),
        c.domain_weight * domain_loss(*out.domain_logits_BJ.chunk(2)),
    ]  # fmt: skip
    torch.autograd.backward(torch.stack(parts).sum())
    nn.utils.clip_grad_norm_(t.parameters(), 1.0)
    twin.optimizer.step()
    assert all(torch.equal(tensor, t.state_dict()[name]) for name, tensor in steps.purifier.state_dict().items())


def test_the_networks_follow_from_the_seed_and_draw_nothing_from_the_run(fabric: Fabric) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    made = [cap_gan_terms(replace(CONFIG, seed=seed, ndf=2, **BOTH), 2, fabric) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert cap_gan_terms(CONFIG, 2, fabric) is None
    first, same, other = (flat(terms) for terms in made if terms is not None)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def flat(terms: CapGanTerms) -> Tensor:
    return torch.cat([t.flatten().float() for n in terms.networks.values() for t in n.state_dict().values()])


def test_gradients_of_all_networks_are_averaged_over_the_processes(tiny_victim: SimpleResNet) -> None:
    class OneOfTwo(Fabric):
        """Stands for the first of two processes, of which the other has no gradient."""

        world_size = property(lambda self: 2)  # type: ignore[assignment]

        def all_reduce(self, data: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
            return data / 2

    halves, alone = (entered(tiny_victim, cls(accelerator="cpu", devices=1), max_gradient_norm=None, **BOTH)
                     for cls in (OneOfTwo, Fabric))  # fmt: skip
    for steps in (halves, alone):
        stepped(steps)
    for name, parameters in parameters_of(alone).items():
        for half, p in zip(parameters_of(halves)[name], parameters, strict=True):
            assert p.grad is None or torch.equal(cast(Tensor, half.grad) * 2, p.grad), name
