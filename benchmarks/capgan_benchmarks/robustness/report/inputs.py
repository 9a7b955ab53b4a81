"""What the page shows beside the record's figures: images, attacked frames, the pair. Shapes: N images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_benchmarks.threats.artifact import Artifact
    from capgan_export.source import Source

CellKey = tuple[str, str, float | None]
"""Scenario, attack, epsilon, as a cell of the record has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportInputs:
    """The images of a record; without them the page says that they were not given."""

    labels: tuple[str, ...]
    """Names of the classes; the index of a name is its label."""
    images: ImageSet
    """The record's n images, in its order."""
    crafted: Mapping[CellKey, NDArray[np.uint8]]
    """Attacked frames [N, H, W, 3] of the first images."""
    source: Source | None
    """The pair in torch; None where there is only a bundle."""
    file: Artifact | None = None
    """The first file that ships, of which pictures are shown where the pair is not at hand."""

    def name_of(self, label: int) -> str:
        """Return a class's name, or its number where it has none."""
        return self.labels[label] if 0 <= label < len(self.labels) else f"class {label}"
