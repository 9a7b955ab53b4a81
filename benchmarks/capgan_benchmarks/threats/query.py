"""Query: crafted from the outputs of the defended classifier alone, by SPSA or Square (Table II)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.crafting import craft_on, labels_of_frames
from capgan_benchmarks.threats.defended import Defended
from capgan_benchmarks.threats.scenario import Threat
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Logits of f(T(.)) and no gradient: an attack that asks for one is refused by name."""

    threat: ClassVar[Threat] = Threat(
        name="query", gradient_by="outputs of f(T(.))", scored="f(T(.))",
        knows="Nothing but the logits that the deployed pair gives to images of the attacker's choice, as often as the "
        "attack asks; images go in as floats.",
    )  # fmt: skip
    defended: Defended

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return craft_on(attack, images, number=number, threat=self.threat, target=self._outputs, judge=self.defended,
                        judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)

    def _outputs(self, x_BCHW: Tensor) -> Tensor:
        return self.defended(x_BCHW).detach()
