"""The smallest step onto a hyperplane within the box: it arrives, stays inside, and none smaller would do."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from capgan_edge.attacks.hyperplane import step_to_hyperplane


def farthest_reach(t_BP: Tensor, w_BP: Tensor, gap_B: Tensor, radius_B1: Tensor) -> Tensor:
    """Return how much of the gap the box allows a step of at most `radius` to close."""
    way_BP = gap_B.sign()[:, None] * w_BP.sign()
    room_BP = torch.where(way_BP > 0, 1 - t_BP, t_BP)
    return (w_BP.abs() * torch.minimum(radius_B1, room_BP)).sum(1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
    zeros=st.sampled_from([0.0, 0.5, 1.0]),
    is_at_the_ends=st.booleans(),
)
def test_the_step_arrives_stays_inside_and_is_the_smallest(
    seed: int, spread: float, zeros: float, is_at_the_ends: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    t_BP = torch.rand(6, 9, generator=generator)
    t_BP = t_BP.round() if is_at_the_ends else t_BP
    w_BP = torch.randn(6, 9, generator=generator) * (torch.rand(6, 9, generator=generator) >= zeros)
    b_B = (w_BP * t_BP).sum(1) + spread * torch.randn(6, generator=generator)
    gap_B = b_B - (w_BP * t_BP).sum(1)
    d_BP = step_to_hyperplane(t_BP, w_BP, b_B)
    assert ((t_BP + d_BP) >= -1e-6).all()
    assert ((t_BP + d_BP) <= 1 + 1e-6).all()
    closed_B, size_B1 = (w_BP * d_BP).sum(1) * gap_B.sign(), d_BP.abs().amax(1, keepdim=True)
    is_within_reach_B = farthest_reach(t_BP, w_BP, gap_B, torch.ones(6, 1)) >= gap_B.abs()
    torch.testing.assert_close(closed_B[is_within_reach_B], gap_B.abs()[is_within_reach_B], rtol=1e-4, atol=1e-5)
    all_of_it_B = farthest_reach(t_BP, w_BP, gap_B, torch.ones(6, 1))
    torch.testing.assert_close(closed_B[~is_within_reach_B], all_of_it_B[~is_within_reach_B], rtol=1e-4, atol=1e-5)
    shorter_B = farthest_reach(t_BP, w_BP, gap_B, 0.999 * size_B1)
    is_moving_B = (size_B1.squeeze(1) > 1e-5) & is_within_reach_B
    assert (shorter_B < closed_B)[is_moving_B].all()


def test_away_from_the_box_the_size_is_the_gap_over_the_l1_norm() -> None:
    t_BP, w_BP = torch.full((1, 4), 0.5), torch.tensor([[1.0, -2.0, 0.5, 0.5]])
    d_BP = step_to_hyperplane(t_BP, w_BP, torch.tensor([0.4]))
    torch.testing.assert_close(d_BP, 0.1 * torch.tensor([[1.0, -1.0, 1.0, 1.0]]))


def test_without_a_slope_nothing_moves() -> None:
    assert step_to_hyperplane(torch.rand(2, 4), torch.zeros(2, 4), torch.ones(2)).eq(0).all()
