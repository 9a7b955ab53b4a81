"""What a robust teacher asks of the student in one step, in which stages, and that it stays as it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from robust_runs import CONFIG, SHAPE
from torch import nn

from capgan_edge.models.presets import purifier_from
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.robust_labels import soft_labels
from capgan_edge.training.robust_stages import Stage, StageName
from capgan_edge.training.robust_steps import RobustSteps

TAUGHT: list[StageName] = ["head", "whole"]


def make_purifier(seed: int) -> Purifier:
    """Return a frozen purifier whose painter has left zero."""
    torch.manual_seed(seed)
    purifier = purifier_from(SHAPE)
    assert isinstance(purifier, RobustPurifier)
    nn.init.normal_(purifier.painter.end[-1].weight)
    return purifier.eval().requires_grad_(False)


def taught(student: Purifier, teacher: Purifier, victim: nn.Module, fabric: Fabric, **settings: Any) -> RobustSteps:
    return RobustSteps(student, victim, replace(CONFIG, **settings), fabric, teacher)


@pytest.mark.parametrize("stage", TAUGHT)
def test_a_teacher_that_is_the_student_asks_for_nothing(
    stage: StageName, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    student, x_BCHW, targets_BK = make_purifier(0), torch.rand(4, 3, 32, 32), torch.eye(20)[:4]
    steps = taught(student, copy.deepcopy(student), tiny_victim, fabric, teacher_temperature=4.0)
    losses, _ = steps._losses(stage, x_BCHW, x_BCHW, targets_BK, steps._taught(stage, x_BCHW))
    assert float(losses["distilled"]) == pytest.approx(0, abs=1e-5)
    other = taught(student, make_purifier(1), tiny_victim, fabric)
    losses, _ = other._losses(stage, x_BCHW, x_BCHW, targets_BK, other._taught(stage, x_BCHW))
    assert losses["distilled"] > 1e-4


@pytest.mark.parametrize("stage", TAUGHT)
def test_the_loss_is_from_the_teacher_on_the_clean_to_the_student_on_the_attacked_image(
    stage: StageName, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    student, teacher, T = make_purifier(0), make_purifier(1), 3.0
    assert isinstance(student, RobustPurifier)
    assert isinstance(teacher, RobustPurifier)
    x_BCHW, targets_BK = torch.rand(4, 3, 32, 32), torch.eye(20)[:4]
    a_BCHW = (x_BCHW + 0.1).clamp(0, 1)
    steps = taught(student, teacher, tiny_victim, fabric, teacher_temperature=T, teacher_weight=2.5)
    losses, _ = steps._losses(stage, x_BCHW, a_BCHW, targets_BK, steps._taught(stage, x_BCHW))
    if stage == "head":
        t_BK, s_BK = teacher.decide(x_BCHW).class_logits_BK, student.decide(a_BCHW).class_logits_BK
    else:
        t_BK, s_BK = tiny_victim(teacher(x_BCHW)), tiny_victim(student(a_BCHW))
    p, q = (t_BK / T).softmax(1), (s_BK / T).softmax(1)
    torch.testing.assert_close(losses["distilled"], T**2 * (p * (p / q).log()).sum(1).mean(), rtol=1e-3, atol=1e-5)
    rest = {name: loss for name, loss in losses.items() if name != "distilled"}
    added = steps._total(losses, losses) - steps._total(rest, rest)
    torch.testing.assert_close(added, 2.5 * losses["distilled"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("stage", ["draw", "painter"])
def test_the_painter_is_taught_by_its_own_head_alone(
    stage: StageName, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    steps = taught(purifier_from(SHAPE), make_purifier(1), tiny_victim, fabric)
    steps.enter(Stage(name=stage, first_epoch=0, num_epochs=1, learning_rate=0.1, optimizer="adam"))
    targets_BK = soft_labels(torch.arange(4), 20, 0.0)
    losses, _ = steps.step(stage, torch.rand(4, 3, 32, 32), targets_BK, 0, torch.Generator())
    assert "distilled" not in losses


@pytest.mark.parametrize("stage", TAUGHT)
def test_a_step_pulls_the_student_to_the_teacher_and_leaves_the_teacher(
    stage: StageName, tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    teacher = make_purifier(1)
    before = copy.deepcopy(teacher.state_dict())
    steps = taught(make_purifier(0), teacher, tiny_victim, fabric, teacher_weight=100.0)
    steps.enter(Stage(name=stage, first_epoch=0, num_epochs=1, learning_rate=0.05, optimizer="sgd"))
    x_BCHW, targets_BK = torch.rand(8, 3, 32, 32), soft_labels(torch.arange(8), 20, 0.0)
    found = [float(steps.step(stage, x_BCHW, targets_BK, 0, torch.Generator().manual_seed(0), awp_gamma=0.01)[0]
                   ["distilled"].detach()) for _ in range(10)]  # fmt: skip
    assert found[-1] < found[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
