"""AWP: where the gradient is taken, that weights and statistics come back exactly, and where it is off."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from robust_runs import CONFIG, SHAPE
from torch import Tensor, nn

from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import purifier_from
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.device import Precision, start_fabric
from capgan_edge.training.robust_attack import craft
from capgan_edge.training.robust_awp import perturbed
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.robust_labels import soft_labels
from capgan_edge.training.robust_stages import Stage, StageName, awp_gamma_at
from capgan_edge.training.robust_steps import RobustSteps

GAMMA, RATE, MOMENTUM = 0.05, 0.1, 0.9
PERTURBED: list[StageName] = ["head", "whole"]
State = dict[str, Tensor]


def entered(stage: StageName, victim: nn.Module, fabric: Fabric) -> RobustSteps:
    """Return steps whose painter has left zero, so that the last stage's gradient reaches every layer."""
    torch.manual_seed(0)
    purifier = purifier_from(SHAPE)
    assert isinstance(purifier, RobustPurifier)
    nn.init.normal_(purifier.painter.end[-1].weight, std=0.1)
    steps = RobustSteps(purifier, victim, CONFIG, fabric)
    steps.enter(Stage(name=stage, first_epoch=0, num_epochs=1, learning_rate=RATE, optimizer="sgd"))
    return steps


def make_batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.rand(8, 3, 32, 32), soft_labels(torch.arange(8), 20, 0.0)


def stepped(stage: StageName, victim: nn.Module, fabric: Fabric, gamma: float) -> tuple[State, dict[str, float]]:
    """Return the purifier's state after one step from the start, and the step's losses."""
    steps, (x_BCHW, targets_BK) = entered(stage, victim, fabric), make_batch()
    losses, _ = steps.step(stage, x_BCHW, targets_BK, 0, torch.Generator().manual_seed(0), awp_gamma=gamma)
    return steps.purifier.state_dict(), {name: float(loss.detach()) for name, loss in losses.items()}


def by_hand(stage: StageName, victim: nn.Module, fabric: Fabric, gamma: float) -> State:
    """Return the parameters after one step, from Wu et al.'s formula and torch's for SGD with Nesterov momentum."""
    steps, (x_BCHW, targets_BK) = entered(stage, victim, fabric), make_batch()
    purifier = steps.purifier.eval()
    with fabric.autocast():
        a_BCHW = craft(steps.attacked(stage), x_BCHW, targets_BK, epsilon=CONFIG.epsilon, steps=0,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    free = {name: parameter for name, parameter in purifier.named_parameters() if parameter.requires_grad}
    start = {name: parameter.detach().clone() for name, parameter in free.items()}

    def gradients(at: State, weights: dict[str, float]) -> dict[str, Tensor]:
        twin = copy.deepcopy(purifier)
        for name, parameter in twin.named_parameters():
            if name in at:
                parameter.data.copy_(at[name])
        moved = RobustSteps(twin, victim, CONFIG, fabric)
        for module in moved._trained(stage):
            module.train()
        losses_of = moved._head_losses if stage == "head" else moved._whole_losses
        with fabric.autocast():
            losses, _ = losses_of(x_BCHW, a_BCHW, targets_BK)
        wanted = [parameter for name, parameter in twin.named_parameters() if name in at]
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        found = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
        return dict(zip(at, found, strict=True))

    c = CONFIG
    all_terms = {"attacked": 1.0, "kl": c.beta, "semantic": c.semantic_weight, "l1": c.l1_weight,
                 "domain": c.domain_weight}  # fmt: skip
    up = gradients(start, dict.fromkeys(all_terms, 0.0) | {"attacked": 1.0, "kl": c.beta})
    worse = {name: w + gamma * w.norm() * up[name] / up[name].norm() if gamma and w.ndim > 1 and up[name].any() else w
             for name, w in start.items()}  # fmt: skip
    down = gradients(worse, all_terms)
    norm = torch.stack([gradient.norm() for gradient in down.values()]).norm()
    clipped = {name: gradient * min(1.0, float(1.0 / (norm + 1e-6))) for name, gradient in down.items()}
    decayed = {name: clipped[name] + c.weight_decay * start[name] for name in start}
    return {name: start[name] - RATE * (1 + MOMENTUM) * decayed[name] for name in start}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("gamma", [0.0, GAMMA])
@pytest.mark.parametrize("stage", PERTURBED)
def test_a_step_is_from_the_weights_before_by_the_gradient_at_the_perturbed_ones(
    stage: StageName, gamma: float, precision: Precision, tiny_victim: SimpleResNet
) -> None:
    fabric = start_fabric(precision)
    expected, (found, _) = by_hand(stage, tiny_victim, fabric, gamma), stepped(stage, tiny_victim, fabric, gamma)
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stage", PERTURBED)
def test_without_it_a_step_is_bit_for_bit_one_pass_back_clipped(
    stage: StageName, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered(stage, tiny_victim, fabric), make_batch()
    steps.purifier.eval()
    a_BCHW = craft(steps.attacked(stage), x_BCHW, targets_BK, epsilon=CONFIG.epsilon, steps=0,
                   generator=torch.Generator().manual_seed(0))  # fmt: skip
    for module in steps._trained(stage):
        module.train()
    losses, _ = (steps._head_losses if stage == "head" else steps._whole_losses)(x_BCHW, a_BCHW, targets_BK)
    c = CONFIG
    weights = {"attacked": 1.0, "kl": c.beta, "semantic": c.semantic_weight, "l1": c.l1_weight,
               "domain": c.domain_weight}  # fmt: skip
    torch.autograd.backward(torch.stack([weights[name] * loss for name, loss in losses.items()]).sum())
    nn.utils.clip_grad_norm_(steps.purifier.parameters(), 1.0)
    steps.optimizer.step()
    found, _ = stepped(stage, tiny_victim, fabric, 0.0)
    assert all(torch.equal(tensor, found[name]) for name, tensor in steps.purifier.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", PERTURBED)
def test_it_changes_the_gradient_and_neither_the_statistics_nor_what_is_reported(
    stage: StageName, precision: Precision, tiny_victim: SimpleResNet
) -> None:
    fabric = start_fabric(precision)
    (without, plain), (with_awp, told) = (stepped(stage, tiny_victim, fabric, gamma) for gamma in (0.0, GAMMA))
    buffers = {name for name, _ in purifier_from(SHAPE).named_buffers()}
    assert all(torch.equal(without[name], with_awp[name]) for name in buffers)
    assert plain == told
    assert max(float((without[name] - with_awp[name]).abs().max()) for name in without.keys() - buffers) > 1e-4


def test_each_trained_layer_moves_by_its_share_and_everything_comes_back_exactly(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered("head", tiny_victim, fabric), make_batch()
    purifier = steps.purifier.train()
    loss = F.cross_entropy(steps.deployed("head", purifier)(x_BCHW), targets_BK)
    before = copy.deepcopy(purifier.state_dict())
    with perturbed(purifier, loss, GAMMA, fabric):
        for name, parameter in purifier.named_parameters():
            moved, norm = float((parameter.detach() - before[name]).norm()), float(before[name].norm())
            is_layer = parameter.requires_grad and parameter.ndim > 1
            assert moved == pytest.approx(GAMMA * norm if is_layer else 0, rel=1e-3), name
        assert F.cross_entropy(steps.deployed("head", purifier)(x_BCHW), targets_BK) > loss
        assert any(not torch.equal(tensor, before[name]) for name, tensor in purifier.named_buffers())
    assert all(torch.equal(tensor, before[name]) for name, tensor in purifier.state_dict().items())
    assert all(parameter.grad is None for parameter in purifier.parameters())


def test_weights_come_back_from_a_step_that_is_interrupted(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    steps, (x_BCHW, targets_BK) = entered("whole", tiny_victim, fabric), make_batch()
    before = {name: parameter.detach().clone() for name, parameter in steps.purifier.named_parameters()}

    def interrupted(loss: Tensor) -> None:
        assert any(not torch.equal(parameter, before[name]) for name, parameter in steps.purifier.named_parameters())
        raise KeyboardInterrupt

    fabric.backward = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        steps.step("whole", x_BCHW, targets_BK, 0, torch.Generator(), awp_gamma=GAMMA)
    assert all(torch.equal(parameter, before[name]) for name, parameter in steps.purifier.named_parameters())


def test_a_layer_without_a_gradient_stays(fabric: Fabric) -> None:
    layer, behind = nn.Linear(3, 4), nn.Linear(4, 2)
    nn.init.zeros_(behind.weight)
    network = nn.Sequential(layer, behind)
    before = copy.deepcopy(network.state_dict())
    with perturbed(network, network(torch.rand(5, 3)).square().sum(), GAMMA, fabric):
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_it_waits_in_the_first_epochs_of_its_stages_and_stays_out_of_the_others() -> None:
    config = replace(CONFIG, awp_gamma=GAMMA, awp_warmup_epochs=1)  # two of the head, draw, painter, two of the whole
    assert [awp_gamma_at(config, epoch) for epoch in range(6)] == [0, GAMMA, 0, 0, 0, GAMMA]
    assert [awp_gamma_at(CONFIG, epoch) for epoch in range(6)] == [0] * 6


def test_it_is_refused_where_no_stage_has_it() -> None:
    with pytest.raises(ConfigError, match=r"expected head_epochs or whole_epochs of 1 or more with awp_gamma 0\.01"):
        RobustConfig(head_epochs=0, head_small_crop_epochs=0, whole_epochs=0, awp_gamma=0.01)
