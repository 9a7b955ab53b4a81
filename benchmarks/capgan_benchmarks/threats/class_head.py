"""On the class head: a purifier of the mode `robust` decides the class itself, and the decision is what is climbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.crafting import craft_on, labels_of_frames
from capgan_benchmarks.threats.defended import Defended
from capgan_benchmarks.threats.scenario import Threat
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack
    from capgan_edge.models.robust_purifier import RobustPurifier


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassHead:
    """Gradients of T's class head, past the painter and f, which may hide theirs."""

    threat: ClassVar[Threat] = Threat(
        name="class-head", gradient_by="T's class head", scored="f(T(.))",
        knows="Everything, also that a purifier of the mode robust decides the class by itself: the decision is "
        "attacked, and f reads it out.",
    )  # fmt: skip
    defended: Defended
    """T has a class head."""

    def __post_init__(self) -> None:
        self._purifier()

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        return craft_on(attack, images, number=number, threat=self.threat, target=self.decide, judge=self.defended,
                        judge_name=self.threat.scored, device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)

    def decide(self, x_BCHW: Tensor) -> Tensor:
        """Return the head's logits: what is climbed."""
        return self._purifier().class_logits(x_BCHW)

    def _purifier(self) -> RobustPurifier:
        if why := why_no_head(self.defended):
            raise ConfigError(f"{self.defended.name}: expected a purifier with a class head for class-head: {why}")
        return self.defended.purify  # type: ignore[return-value]


def why_no_head(defended: Defended) -> str | None:
    """Return why a defence's decision cannot be attacked, and what can; None where it can."""
    from capgan_edge.models.robust_purifier import RobustPurifier

    if isinstance(defended.purify, RobustPurifier):
        return None
    return "it decides no class by itself, so that all of its gradients are in end-to-end; use that"
