"""Stealthy: end to end, and the defence's own suspicion is kept low as well."""

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
    from capgan_edge.attacks import Attack, StealthyPGD
    from capgan_edge.models.purifier import Purifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Stealthy:
    """Gradients of f(T(.)) and of T's domain classifier, whose output is what the deployed file calls suspicion."""

    threat: ClassVar[Threat] = Threat(
        name="stealthy", gradient_by="f(T(.)) and its suspicion", scored="f(T(.))",
        knows="Everything, also that suspicious images raise an alarm: images are made to fool the classifier and to "
        "look clean to the defence's own domain classifier.",
    )  # fmt: skip
    defended: Defended
    """T is a purifier, which has a domain classifier."""

    def __post_init__(self) -> None:
        self._purifier()

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        """Attack one batch by StealthyPGD; a plain PGD stands for the one of its length.

        Raises:
            ConfigError: the attack is another, which would not see the suspicion.
        """
        from capgan_edge.attacks import Watched

        stealthy = stealthy_from_attack(attack)
        return craft_on(stealthy, images, number=number, threat=self.threat, target=Watched(self._answer),
                        judge=self.defended, judge_name=self.threat.scored,
                        device=self.defended.device)  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return labels_of_frames(self.defended, frames_NHWC, self.defended.device)

    def _answer(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        translated = self._purifier().translate(x_BCHW)
        return self.defended.classify(translated.image_BCHW), translated.domain_logits_BJ.mean(dim=1)

    def _purifier(self) -> Purifier:
        from capgan_edge.models.purifier import Purifier

        if not isinstance(self.defended.purify, Purifier):
            raise ConfigError(
                f"{self.defended.name}: expected a purifier with a domain classifier for stealthy, got a defence that "
                "gives no suspicion; use end-to-end"
            )
        return self.defended.purify


def stealthy_from_attack(attack: Attack) -> StealthyPGD:
    """Return the attack, or for a plain PGD the stealthy one with its epsilon, steps, step size and seed.

    Raises:
        ConfigError: it is neither.
    """
    from capgan_edge.attacks import PGD, StealthyPGD

    if isinstance(attack, StealthyPGD):
        return attack
    if isinstance(attack, PGD):
        shared = {name: getattr(attack, name) for name in ("epsilon", "steps", "step_size", "seed")}
        if attack == PGD(**shared):
            return StealthyPGD(**shared)
    raise ConfigError(
        f"expected StealthyPGD, or PGD with one random start, for stealthy, got {attack}; another attack does not see "
        "the suspicion: run it in end-to-end, where its detection is reported as well"
    )
