"""The Square attack, L-infinity: random squares, by the model's outputs alone (Andriushchenko et al. 2020)."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.base import CountedModel, LinfAttack, require_at_least_one, rows_still_right
from capgan_edge.attacks.losses import other_minus_true
from capgan_edge.errors import ConfigError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, of 10,000, after which the share of pixels that a square covers is halved."""


@dataclass(frozen=True, kw_only=True)
class Square(LinfAttack):
    """Colour squares at random, and keep what lowers the margin; each image has squares and colours of its own.

    One query finds the images already misclassified, which stay as they are; then each start spends at most `queries`
    on an image, its first on vertical stripes. An image is left as soon as it fools.
    """

    queries: int = 5000
    p_init: float = 0.8
    """Share of pixels that the first squares cover, in (0, 1]."""
    restarts: int = 1
    """Starts in all; images that fool are left out of the next."""
    scales_schedule: bool = True
    """Whether squares shrink over `queries` (the paper) or as if there were 10,000 (AutoAttack)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("query", self.queries)
        require_at_least_one("start", self.restarts)
        if not 0 < self.p_init <= 1:
            raise ConfigError(
                f"expected p_init, a share of the pixels, in (0, 1], got {self.p_init}; the paper's is 0.8"
            )

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        a_BCHW = x_BCHW.clone()
        left = rows_still_right(model.logits(x_BCHW), y_B)
        for _ in range(self.restarts):
            if not len(left):
                break
            a_BCHW[left], is_fooled_B = self._search(model.at(left), x_BCHW[left], y_B[left], generator)
            left = left[~is_fooled_B]
        return a_BCHW

    def _search(
        self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the images with the lowest margin and whether they fool."""
        best_BCHW = self._coloured(x_BCHW, _signs(x_BCHW, (1, x_BCHW.shape[3]), generator))
        excess_B, is_fooled_B = self._judge(model, best_BCHW, y_B)
        for query in range(1, self.queries):
            rows = (~is_fooled_B).nonzero().flatten()
            if not len(rows):
                break
            covers_B1HW = self._squares(best_BCHW[rows], query, generator)
            colour_BCHW = self._coloured(x_BCHW[rows], _signs(x_BCHW[rows], (1, 1), generator))
            a_BCHW = torch.where(covers_B1HW, colour_BCHW, best_BCHW[rows])
            now_B, is_now_fooled_B = self._judge(model.at(rows), a_BCHW, y_B[rows])
            is_kept_B = (now_B > excess_B[rows]) | is_now_fooled_B
            kept = rows[is_kept_B]
            best_BCHW[kept], excess_B[kept] = a_BCHW[is_kept_B], now_B[is_kept_B]
            is_fooled_B[kept] = is_now_fooled_B[is_kept_B]
        return best_BCHW, is_fooled_B

    def _coloured(self, x_BCHW: Tensor, sign_BCHW: Tensor) -> Tensor:
        return (x_BCHW + self.epsilon * sign_BCHW).clamp(0, 1)

    def _squares(self, x_BCHW: Tensor, query: int, generator: torch.Generator) -> Tensor:
        """Return which pixels this query's squares cover, one square an image, anywhere it fits."""
        height_px, width_px = x_BCHW.shape[2:]
        side_px = round(math.sqrt(self.share(query) * height_px * width_px))
        side_px = min(max(side_px, 1), height_px, width_px)
        inside = []
        for size_px in (height_px, width_px):
            start_B1 = torch.randint(size_px - side_px + 1, (len(x_BCHW), 1), generator=generator, device=x_BCHW.device)
            place_S = torch.arange(size_px, device=x_BCHW.device)
            inside.append((place_S >= start_B1) & (place_S < start_B1 + side_px))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]

    def share(self, query: int) -> float:
        """Return the share of pixels that a square of this query covers."""
        of_10_000 = query * 10_000 // self.queries if self.scales_schedule else query
        num_halvings = bisect.bisect_left(HALVINGS, of_10_000)
        return self.p_init * 0.5**num_halvings

    @staticmethod
    def _judge(model: CountedModel, a_BCHW: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
        logits_BK = model.logits(a_BCHW)
        return other_minus_true(logits_BK, y_B), logits_BK.argmax(1) != y_B


def _signs(x_BCHW: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return -1 or 1 at even odds for each image and channel, and each pixel of `size`."""
    bits = torch.randint(2, (*x_BCHW.shape[:2], *size), generator=generator, device=x_BCHW.device)
    return (2 * bits - 1).to(x_BCHW.dtype)
