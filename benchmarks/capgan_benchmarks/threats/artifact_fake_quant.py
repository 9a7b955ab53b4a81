"""Artifact fake-quant: gradients through a torch twin with the artifact's own scales, scored on the artifact.

Shapes: N images, C channel, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.crafting import craft_on
from capgan_benchmarks.threats.graph_twin import GraphTwin
from capgan_benchmarks.threats.scenario import Threat
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactFakeQuant:
    """Gradients of the twin's logits, divided by a temperature, so that a sure graph does not flatten its softmax."""

    threat: ClassVar[Threat] = Threat(
        name="artifact-fake-quant", gradient_by="the artifact's fake-quantised twin", scored="the artifact",
        knows="Everything: the deployed file with its weights, its scales and its rounding, through which gradients "
        "are taken straight.",
    )  # fmt: skip
    twin: GraphTwin
    """Of the INT8 graph, also where the artifact is an engine built from it."""
    artifact: Artifact
    temperature: float = 1.0
    """What the logits are divided by before the attack's loss; an attack's own margin (kappa) is divided with them."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"expected a temperature above 0, got {self.temperature}; 1 leaves the logits as they are"
            )
        if not self.twin.num_quantised:
            raise ConfigError("expected an INT8 graph for artifact-fake-quant, got one without QuantizeLinear; use "
                              "artifact-transfer, or give the bundle's model.int8.onnx")  # fmt: skip

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        crafted = craft_on(attack, images, number=number, threat=self.threat, target=self._tempered, judge=self.twin,
                           judge_name="the fake-quantised twin", device=self.twin.device)  # fmt: skip
        return replace(crafted, settings={**crafted.settings, "temperature": self.temperature})

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return self.artifact.labels_of(frames_NHWC)

    def _tempered(self, x_NCHW: Tensor) -> Tensor:
        return self.twin(x_NCHW) / self.temperature
