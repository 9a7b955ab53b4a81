"""End to end: crafted on the defence and the classifier as one, and scored on them (Table IV)."""

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
class EndToEnd:
    """Gradients of f(T(.))."""

    threat: ClassVar[Threat] = Threat(
        name="end-to-end", gradient_by="f(T(.))", scored="f(T(.))",
        knows="Everything: the defence and the classifier, with their weights.",
    )  # fmt: skip
    defended: Defended

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return craft_on(attack, images, number=number, threat=self.threat, target=self.defended, judge=self.defended,
                        judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)
