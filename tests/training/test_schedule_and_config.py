"""Learning rates at named steps; settings that make no sense."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from capgan_edge.errors import ConfigError
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.schedule import ScheduleName, check_schedule, learning_rate, set_learning_rate
from capgan_edge.training.victim import VictimConfig


class Case(NamedTuple):
    name: ScheduleName
    step: int
    share: float
    """Of the peak rate, at `step` of 100."""


CASES = [
    Case("one-cycle", 0, 0.0), Case("one-cycle", 10, 0.5), Case("one-cycle", 20, 1.0), Case("one-cycle", 60, 0.5),
    Case("one-cycle", 100, 0.0), Case("cosine", 0, 1.0), Case("cosine", 50, 0.5), Case("cosine", 25, 0.853553),
    Case("cosine", 100, 0.0), Case("steps", 0, 1.0), Case("steps", 49, 1.0), Case("steps", 50, 0.1),
    Case("steps", 74, 0.1), Case("steps", 75, 0.01), Case("steps", 99, 0.01),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-{c.step}")
def test_the_rate_at_a_step(case: Case) -> None:
    assert learning_rate(case.name, 0.2, case.step, 100) == pytest.approx(0.2 * case.share, abs=1e-6)


def test_the_rate_is_set_in_every_group() -> None:
    groups: list[dict[str, Any]] = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 3.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_a_schedule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="among one-cycle, cosine, steps, got 'linear'; name one"):
        check_schedule("linear")


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"batch_size": 1}, {"semantic_epochs": 201}, {"semantic_epochs": -1}, {"num_watched": 0},
     {"num_watched": 1001}, {"figure_every": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")},
     {"discriminator_learning_rate": -1.0}, {"max_gradient_norm": 0.0}, {"epsilon": 8.0}, {"ndf": 0}, {"seed": -1},
     {"schedule": "linear"}, {"smallest_epsilon": 9 / 255}, {"smallest_epsilon": -0.1}],
    ids=str,
)  # fmt: skip
def test_a_purifiers_setting_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected .*got"):
        CapGanConfig(**options)


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"batch_size": 1}, {"small_crop_epochs": 31}, {"small_crop_px": 22}, {"small_crop_px": 0},
     {"learning_rate": -0.1}, {"learning_rate": float("inf")}, {"weight_decay": -1.0}, {"units_per_stage": 0},
     {"num_held_out": 0}, {"seed": -1}, {"schedule": "linear"}],
    ids=str,
)  # fmt: skip
def test_a_victims_setting_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected .*got"):
        VictimConfig(**options)


def test_the_defaults_are_those_of_section_iv_of_the_paper() -> None:
    c = CapGanConfig()
    assert (c.epochs, c.batch_size, c.learning_rate, c.schedule, c.epsilon) == (200, 128, 1e-4, "cosine", 8 / 255)
    assert (c.semantic_epochs, c.weights.alpha, c.weights.temperature) == (0, 0.7, 10.0)
