"""AutoAttack, standard, L-infinity: four attacks, each on the images that survived those before (Croce & Hein 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capgan_edge.attacks.apgd_ce import APGDCE
from capgan_edge.attacks.apgd_t import APGDT
from capgan_edge.attacks.base import CountedModel, LinfAttack, require_at_least_one, rows_still_right
from capgan_edge.attacks.fab_t import FABT
from capgan_edge.attacks.square import Square


@dataclass(frozen=True, kw_only=True)
class AutoAttack(LinfAttack):
    """APGD-CE, APGD-T, FAB-T and Square in sequence; the defaults are the standard's.

    Between attacks one query tells the survivors. Needs four classes or more, as APGD-T does.
    """

    steps: int = 100
    """Of APGD-CE, and of APGD-T and FAB-T towards each target."""
    num_targets: int = 9
    queries: int = 5000
    """Of Square."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("step", self.steps)
        require_at_least_one("target", self.num_targets)
        require_at_least_one("query", self.queries)

    @property
    def stages(self) -> tuple[tuple[str, LinfAttack], ...]:
        """The attacks by name, in order, for whoever runs and reports them one by one."""
        return (
            ("apgd-ce", APGDCE(epsilon=self.epsilon, seed=self.seed, steps=self.steps)),
            ("apgd-t", APGDT(epsilon=self.epsilon, seed=self.seed, steps=self.steps, num_targets=self.num_targets)),
            ("fab-t", FABT(epsilon=self.epsilon, seed=self.seed, steps=self.steps, num_targets=self.num_targets)),
            ("square", Square(epsilon=self.epsilon, seed=self.seed, queries=self.queries, scales_schedule=False)),
        )

    def run(self, model: CountedModel, x_BCHW: Tensor, y_B: Tensor, generator: torch.Generator) -> Tensor:
        a_BCHW, left = x_BCHW.clone(), torch.arange(len(y_B), device=y_B.device)
        for _, attack in self.stages:
            raw_BCHW = attack.run(model.at(left), x_BCHW[left], y_B[left], generator)
            a_BCHW[left] = attack.bounded(raw_BCHW, x_BCHW[left])
            left = left[rows_still_right(model.at(left).logits(a_BCHW[left]), y_B[left])]
            if not len(left):
                break
        return a_BCHW
