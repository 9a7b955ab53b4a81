"""What a threat model is: words for people, and a way to craft frames and to have them labelled.

Shapes: N images, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class Threat:
    """A threat model in words; f is the classifier, T the defence before it, f' another classifier."""

    name: str
    """As `--scenarios` takes it."""
    gradient_by: str
    """Who makes the gradient, or answers the queries."""
    scored: str
    """Who is scored."""
    knows: str
    """What the attacker knows, in a sentence."""


class Scenario(Protocol):
    """One threat model with the models it is about. Every image is attacked with its true label."""

    threat: ClassVar[Threat]

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        """Attack one batch of images and round what comes of it to 8 bits, within the attack's epsilon.

        Args:
            attack: its seed is the run's; `number` makes another of it for each batch.
            images: they go through the models at once, so as many as memory holds.
            number: which batch of the run this is, from 0; the same number gives the same frames.

        Raises:
            ConfigError: the attack does not fit the scenario; the message names what does.
        """

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class that whoever is scored gives each frame."""
