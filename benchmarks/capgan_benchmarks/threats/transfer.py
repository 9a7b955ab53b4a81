"""Transfer: crafted on another classifier, scored on the defended one (Table I, Figure 5)."""

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
    from capgan_edge.attacks.base import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """Gradients of a surrogate f': another classifier for the same classes, e.g. `train victim --seed 1`."""

    threat: ClassVar[Threat] = Threat(
        name="transfer", gradient_by="f'", scored="f(T(.))",
        knows="The task and the classifier's architecture: the attacker trains a classifier of their own from another "
        "seed, and sees neither the deployed weights nor any output.",
    )  # fmt: skip
    defended: Defended
    surrogate: Model
    """f', in eval mode, on the defence's device."""

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return craft_on(attack, images, number=number, threat=self.threat, target=self.surrogate, judge=self.defended,
                        judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)
