"""Artifact transfer: crafted on the artifact's FP32 twin in torch, scored on the artifact itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.scenario import Scenario, Threat
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactTransfer:
    """Whatever another scenario crafts on the twin, end to end as a rule, shown to the artifact."""

    threat: ClassVar[Threat] = Threat(
        name="artifact-transfer", gradient_by="the FP32 twin", scored="the artifact",
        knows="The trained pair in FP32 as far as the scenario on the twin says, and nothing of the artifact: neither "
        "its precision nor its scales nor its outputs.",
    )  # fmt: skip
    on_twin: Scenario
    """A scenario on the pair that the artifact was exported from."""
    artifact: Artifact

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        """Craft on the twin; what rounding cost is told by the twin, since the artifact takes no floats."""
        crafted = self.on_twin.craft(attack, images, number=number)
        judge = f"{crafted.rounding.judge} in FP32"
        return replace(crafted, scenario=self.threat.name, rounding=replace(crafted.rounding, judge=judge),
                       settings={**crafted.settings, "on_twin": crafted.scenario})  # fmt: skip

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return self.artifact.labels_of(frames_NHWC)
