"""The picture of README: signs clean, attacked and purified, each with its verdict, as a PNG that `demo` writes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.pictures import heat_over
from capgan_benchmarks.demo.rows import Row, Said

RIGHT, WRONG = "#1a7f37", "#cf222e"
LINES = ("clean", "attacked\n(PGD-20, 8/255)", "purified", "attention")


def draw_tile(
    axes: Any, image_HWC: NDArray[np.uint8], words: str, *, is_right: bool | None, text_size: float = 8
) -> None:
    """Draw a picture on matplotlib's axes; green where a verdict is right, red where wrong, neither where None."""
    axes.set(xticks=[], yticks=[])
    axes.imshow(image_HWC, interpolation="nearest")
    if is_right is not None:
        colour = RIGHT if is_right else WRONG
        axes.set_xlabel(words, color=colour, fontsize=text_size)
        axes.spines[:].set(color=colour, linewidth=2)


def sheet_of(rows: Sequence[Row]) -> bytes:
    """Return a PNG with a column a row: green where the verdict is right, red where it is wrong."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.55 * len(rows) + 0.9, 7.2), layout="constrained")
    grid = figure.subplots(len(LINES), len(rows), squeeze=False)
    for column, row in enumerate(rows):
        images: tuple[tuple[NDArray[np.uint8], Said | None], ...] = (
            (row.clean_HWC, row.victim_clean),
            (row.attacked_HWC, row.victim_attacked),
            (row.purified_HWC, row.purified),
            (heat_over(row.attacked_HWC, row.heat_HW), None),
        )
        for line, (image_HWC, said) in enumerate(images):
            words = "" if said is None else f"{said.label}\n{said.score:.2f}"
            draw_tile(grid[line][column], image_HWC, words, is_right=None if said is None else said.label == row.truth)
    for line, title in enumerate(LINES):
        grid[line][0].set_ylabel(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
