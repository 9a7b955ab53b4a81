"""One step of each stage: it lowers what it trains, moves nothing else, and never the victim; and what is crafted."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from robust_runs import CONFIG, SHAPE
from torch import Tensor, nn

from capgan_edge.models.presets import purifier_from
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.robust_attack import craft
from capgan_edge.training.robust_ema import WeightAverage
from capgan_edge.training.robust_labels import cutmix, soft_labels
from capgan_edge.training.robust_stages import Stage, StageName, crop_px_at, stage_at, stages_of
from capgan_edge.training.robust_steps import LOSS_NAMES, RobustSteps, divergence

EPSILON = 8 / 255
STAGES: list[StageName] = ["head", "draw", "painter", "whole"]


def entered(name: StageName, victim: nn.Module, fabric: Fabric, rate: float = 0.05) -> RobustSteps:
    torch.manual_seed(0)
    steps = RobustSteps(purifier_from(SHAPE), victim, CONFIG, fabric)
    steps.enter(Stage(name=name, first_epoch=0, num_epochs=1, learning_rate=rate, optimizer="sgd"))
    return steps


def make_batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.rand(8, 3, 32, 32), soft_labels(torch.arange(8), 20, 0.0)


@pytest.fixture
def victim(tiny_victim: SimpleResNet) -> SimpleResNet:
    return copy.deepcopy(tiny_victim)


@pytest.mark.parametrize("stage", STAGES)
def test_steps_lower_what_the_stage_trains_and_leave_the_victim(
    stage: StageName, victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered(stage, victim, fabric), make_batch()
    loss = "drawn" if stage == "draw" else "attacked"
    before = {name: tensor.clone() for name, tensor in victim.state_dict().items()}
    found = [
        steps.step(stage, x_BCHW, targets_BK, 0, torch.Generator().manual_seed(0))[0][loss].item() for _ in range(12)
    ]
    assert found[-1] < found[0] - 0.02
    assert all(torch.equal(tensor, before[name]) for name, tensor in victim.state_dict().items())
    assert all(parameter.grad is None for parameter in victim.parameters())


@pytest.mark.parametrize(
    ("stage", "moved"),
    [("head", {"encoder", "class_head"}), ("draw", {"painter"}), ("painter", {"painter", "domain_head"}),
     ("whole", {"encoder", "class_head", "painter", "domain_head"})],
)  # fmt: skip
def test_a_stage_moves_its_own_weights_and_statistics_alone(
    stage: StageName, moved: set[str], victim: SimpleResNet, fabric: Fabric
) -> None:
    steps, (x_BCHW, targets_BK) = entered(stage, victim, fabric), make_batch()
    before = copy.deepcopy(steps.purifier.state_dict())
    for _ in range(2):  # the painter's first step moves only its last layer, which starts at zero
        steps.step(stage, x_BCHW, targets_BK, 0, torch.Generator().manual_seed(0))
    after = steps.purifier.state_dict()
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == moved


def test_every_stage_names_its_losses(victim: SimpleResNet, fabric: Fabric) -> None:
    x_BCHW, targets_BK = make_batch()
    seen = {stage: entered(stage, victim, fabric).step(stage, x_BCHW, targets_BK, 0, torch.Generator())[0]
            for stage in STAGES}  # fmt: skip
    assert {stage: set(losses) for stage, losses in seen.items()} == {
        "head": {"attacked"},
        "draw": {"drawn"},
        "painter": {"attacked", "head", "domain"},
        "whole": set(LOSS_NAMES) - {"head", "drawn", "distilled", "gan", "cycle", "d"},
    }


def test_the_losses_of_the_last_stage_are_those_of_the_method(victim: SimpleResNet, fabric: Fabric) -> None:
    steps, (x_BCHW, targets_BK) = entered("whole", victim, fabric), make_batch()
    steps.purifier.eval()
    a_BCHW = (x_BCHW + 0.1).clamp(0, 1)
    purifier, f = steps.purifier, victim
    with torch.no_grad():
        assert isinstance(purifier, RobustPurifier)
        nn.init.normal_(purifier.painter.end[-1].weight, generator=torch.Generator().manual_seed(0))
        found, _ = steps._whole_losses(x_BCHW, a_BCHW, targets_BK)
        z_a, z_x, teacher = f(purifier(a_BCHW)), f(purifier(x_BCHW)), f(x_BCHW)
        p, q = z_x.softmax(1), z_a.softmax(1)
        eta_a, eta_x = (purifier.translate(images).domain_logits_BJ for images in (a_BCHW, x_BCHW))
    soft, fake = (teacher / 10).softmax(1), (z_x / 10).softmax(1)
    by_hand = {
        "attacked": -(targets_BK * z_a.log_softmax(1)).sum(1).mean(),
        "kl": (p * (p / q).log()).sum(1).mean(),
        "semantic": 100 * (soft * (soft / fake).log()).sum(1).mean(),
        "l1": (purifier(x_BCHW) - x_BCHW).abs().mean(),
        "domain": F.softplus(-eta_a).mean() + F.softplus(eta_x).mean(),
    }
    assert found.keys() == by_hand.keys()
    for name, value in by_hand.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)


def test_the_painters_stage_learns_the_suspicion_of_the_frozen_encoder(victim: SimpleResNet, fabric: Fabric) -> None:
    steps, (x_BCHW, targets_BK) = entered("painter", victim, fabric), make_batch()
    purifier, a_BCHW = steps.purifier.eval(), (x_BCHW + 0.1).clamp(0, 1)
    assert isinstance(purifier, RobustPurifier)
    found, _ = steps._painter_losses(x_BCHW, a_BCHW, targets_BK)
    eta_a, eta_x = (purifier.translate(images).domain_logits_BJ for images in (a_BCHW, x_BCHW))
    torch.testing.assert_close(found["domain"], F.softplus(-eta_a).mean() + F.softplus(eta_x).mean())
    found["domain"].backward()
    moved = {name.split(".")[0] for name, p in purifier.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"domain_head"}

    before = entered("painter", victim, fabric)
    before.config = replace(CONFIG, painter_learns_suspicion=False)
    assert set(before._painter_losses(x_BCHW, a_BCHW, targets_BK)[0]) == {"attacked", "head"}
    assert before._trained("painter") == [before.purifier.painter]


def test_the_divergence_is_zero_of_equals_and_has_a_gradient_into_both() -> None:
    a, b = (torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (0, 1))
    assert float(divergence(a, a).detach()) == pytest.approx(0, abs=1e-6)
    divergence(a, b).backward()
    assert all(one.grad is not None and bool(one.grad.any()) for one in (a, b))


def test_several_logits_are_climbed_together(victim: SimpleResNet) -> None:
    """One that hides its gradient does not hide the other's."""
    x_BCHW, targets_BK = make_batch()

    def flat(x_BCHW: Tensor) -> Tensor:
        return (x_BCHW.sum() * 0) + torch.zeros(8, 20)

    alone, both, doubled = (
        craft(model, x_BCHW, targets_BK, epsilon=EPSILON, steps=0, generator=torch.Generator().manual_seed(0))
        for model in (victim, lambda x: (flat(x), victim(x)), lambda x: (victim(x), victim(x)))
    )
    assert torch.equal(alone, both)
    assert torch.equal(alone, doubled)


@pytest.mark.parametrize("attacks_head", [True, False])
def test_the_last_stage_climbs_the_decision_too(attacks_head: bool, victim: SimpleResNet, fabric: Fabric) -> None:
    x_BCHW = make_batch()[0]
    for stage in STAGES:
        steps = entered(stage, victim, fabric)
        steps.config = replace(CONFIG, attacks_head=attacks_head)
        purifier = steps.purifier.eval()
        assert isinstance(purifier, RobustPurifier)
        found, deployed_BK = steps.attacked(stage)(x_BCHW), steps.deployed(stage, purifier)(x_BCHW)
        if stage == "whole" and attacks_head:
            assert isinstance(found, tuple)
            torch.testing.assert_close(found[0], deployed_BK)
            torch.testing.assert_close(found[1], purifier.decide(x_BCHW).class_logits_BK)
        else:
            torch.testing.assert_close(found, deployed_BK)
        watched = steps.watched(stage, purifier)
        torch.testing.assert_close(watched[0](x_BCHW), deployed_BK)
        assert len(watched) == (1 if stage == "head" else 2)


@pytest.mark.parametrize(("steps", "radii"), [(0, 3.0), (1, 1.0), (3, 1.0), (10, 1.0)])
def test_training_attacks_raise_the_loss_within_their_radius(steps: int, radii: float, victim: SimpleResNet) -> None:
    x_BCHW, targets_BK = make_batch()
    a_BCHW = craft(victim, x_BCHW, targets_BK, epsilon=EPSILON, steps=steps,
                   generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert 0 <= a_BCHW.min() <= a_BCHW.max() <= 1
    assert (a_BCHW - x_BCHW).abs().max() <= radii * EPSILON + 1e-6
    assert (a_BCHW - x_BCHW).abs().max() > 0.9 * min(radii, 2.0) * EPSILON
    clean, attacked = (F.cross_entropy(victim(images), targets_BK) for images in (x_BCHW, a_BCHW))
    assert attacked > clean


def test_labels_are_smoothed_and_mixed_by_the_area_that_was_pasted() -> None:
    torch.testing.assert_close(soft_labels(torch.tensor([1]), 4, 0.2), torch.tensor([[0.05, 0.85, 0.05, 0.05]]))
    x_BCHW = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8) / 4
    for seed in range(5):
        mixed_BCHW, targets_BK = cutmix(x_BCHW, torch.eye(4), torch.Generator().manual_seed(seed))
        shares_BK = torch.stack([(mixed_BCHW[:, 0] == k / 4).float().mean(dim=(1, 2)) for k in range(4)], 1)
        torch.testing.assert_close(targets_BK, shares_BK)
    assert bool((x_BCHW[:, 0, 0, 0] == torch.arange(4.0) / 4).all()), "the batch itself is left"


@pytest.mark.parametrize(("step", "kept"), [(2, 0.25), (10**6, 0.75)], ids=["first steps", "later"])
def test_the_average_follows_weights_and_statistics_and_copies_counters(step: int, kept: float) -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = WeightAverage(module, 0.75)
    start = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(4)
    average.update(module, step)
    for name, tensor in average.module.state_dict().items():
        expected = start[name] + (4 if name.endswith("num_batches_tracked") else 4 * (1 - kept))
        torch.testing.assert_close(tensor, expected)
    assert not average.module.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())


def test_stages_follow_each_other_and_empty_ones_are_left_out() -> None:
    assert [(stage.name, stage.first_epoch, stage.num_epochs) for stage in stages_of(CONFIG)] == [
        ("head", 0, 2), ("draw", 2, 1), ("painter", 3, 1), ("whole", 4, 2)
    ]  # fmt: skip
    assert [stage_at(CONFIG, epoch).name for epoch in range(5)] == ["head", "head", "draw", "painter", "whole"]
    assert [crop_px_at(CONFIG, epoch) for epoch in range(3)] == [24, None, None]
