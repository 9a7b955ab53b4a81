"""The smallest L-infinity step onto a hyperplane that stays within [0, 1]. Shapes: B points, P pixels a point."""

from __future__ import annotations

import torch
from torch import Tensor


def step_to_hyperplane(points_BP: Tensor, w_BP: Tensor, b_B: Tensor) -> Tensor:
    """Return d with the smallest largest entry such that w.(t + d) = b and t + d lies in [0, 1].

    Where the box does not reach the hyperplane, d goes as near to it as the box allows.

    Every pixel goes the way that closes the gap, by the same amount or, if that is less, as far as the box lets it. So
    the gap closed grows with that amount in straight pieces between the sorted room of the pixels, and inverting it
    gives the amount.
    """
    points_BP, w_BP, b_B = points_BP.double(), w_BP.double(), b_B.double()
    gap_B = b_B - (w_BP * points_BP).sum(1)
    way_BP = torch.where(gap_B[:, None] >= 0, 1.0, -1.0) * w_BP.sign()
    room_BP = torch.where(way_BP > 0, 1 - points_BP, points_BP) * (way_BP != 0)
    sorted_room_BP, order_BP = room_BP.sort(dim=1)
    weight_BP = w_BP.abs().gather(1, order_BP)
    spent_BP = (weight_BP * sorted_room_BP).cumsum(1) - weight_BP * sorted_room_BP  # by pixels out of room
    moving_BP = weight_BP.flip(1).cumsum(1).flip(1)  # weight of the pixels that still have room
    closed_BP = spent_BP + moving_BP * sorted_room_BP
    first_B1 = torch.searchsorted(closed_BP, gap_B.abs()[:, None])
    is_reached_B1 = first_B1 < points_BP.shape[1]
    first_B1 = first_B1.clamp_max(points_BP.shape[1] - 1)
    open_B1 = gap_B.abs()[:, None] - spent_BP.gather(1, first_B1)
    amount_B1 = open_B1 / moving_BP.gather(1, first_B1).clamp_min(torch.finfo(torch.float64).tiny)
    amount_B1 = torch.where(is_reached_B1, amount_B1.clamp_min(0), torch.inf)
    return (way_BP * torch.minimum(amount_B1, room_BP)).float()
