"""White-box on the classifier: crafted on f alone, scored behind the defence (Table III)."""

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
    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class WhiteBoxVictim:
    """Gradients of f, as if there were no defence."""

    threat: ClassVar[Threat] = Threat(
        name="white-box-victim", gradient_by="f", scored="f(T(.))",
        knows="The classifier with its weights, and nothing of the defence: neither its weights nor that there is one.",
    )  # fmt: skip
    defended: Defended

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return craft_on(attack, images, number=number, threat=self.threat, target=self.defended.classify,
                        judge=self.defended, judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)
