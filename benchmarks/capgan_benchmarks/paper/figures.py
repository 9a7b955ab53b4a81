"""The paper's figures as pictures, each from its record alone, and what a record keeps for that beside its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper import attention, figure, plane
from capgan_benchmarks.paper.plan import ATTENTION, FIGURE_5, PLANE

if TYPE_CHECKING:
    from capgan_benchmarks.paper.cells import Bench
    from capgan_benchmarks.paper.systems import System

SUFFIXES: Mapping[str, str] = MappingProxyType({PLANE: ".svg", ATTENTION: ".png", FIGURE_5: ".svg"})
"""Of the picture's file, by figure."""
ALTS: Mapping[str, str] = MappingProxyType({
    PLANE: "t-SNE of pixels and of logits, clean and attacked", ATTENTION: "Attention, clean and attacked",
    FIGURE_5: "Accuracy over epsilon, every defence"})  # fmt: skip
"""What a page says in a picture's place."""


def drawn_of(table: str, bench: Bench, systems: Sequence[System]) -> dict[str, Any] | None:
    """Return what the picture of a figure is made of; None where cells are enough, or nothing is drawn.

    Raises:
        ConfigError: there are too few images to draw.
        MissingDependencyError: scikit-learn is not installed (Figure 1).
    """
    if table == PLANE:
        return plane.drawn_of(bench, systems)
    return attention.drawn_of(bench, systems) if table == ATTENTION else None


def picture_of(record: Mapping[str, Any]) -> bytes:
    """Return the picture of a figure's record, SVG or PNG by `SUFFIXES`."""
    if record["table"] == ATTENTION:
        return attention.png_of(record)
    return (plane.svg_of(record) if record["table"] == PLANE else figure.figure_of(record)).encode()
