"""BPDA: through the defence forward, past it backward (Athalye et al. 2018; Table II)."""

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
class Bpda:
    """Gradients of f at T(x), taken for those at x: what is left where T has no useful gradient."""

    threat: ClassVar[Threat] = Threat(
        name="bpda", gradient_by="f, at T(x)", scored="f(T(.))",
        knows="The classifier with its weights, and what the defence makes of any image, but not the defence's "
        "gradient.",
    )  # fmt: skip
    defended: Defended

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        from capgan_edge.attacks import IdentityBackward

        target = IdentityBackward(self.defended.purify, self.defended.classify)
        return craft_on(attack, images, number=number, threat=self.threat, target=target, judge=self.defended,
                        judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)
