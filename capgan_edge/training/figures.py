"""Pictures of a run: its losses, and a fixed row of clean, attacked, purified images and attention maps."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capgan_edge.files import write_atomic
from capgan_edge.models.purifier import Purifier

COLUMNS = 8


def draw_losses(run_path: Path) -> None:
    """Write `losses.png` from the run's `log.csv`: losses above, accuracy in percent below."""
    from matplotlib.figure import Figure

    with (run_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(9, 7), layout="constrained")
    losses, shares = figure.subplots(2, 1, sharex=True)
    names = list(dict.fromkeys(key for row in rows for key in row if key not in ("epoch", "images_per_s", "seconds")))
    for name in names:
        values = [float(row[name]) if row.get(name) else float("nan") for row in rows]
        (shares if name.endswith("_percent") else losses).plot(epochs, values, marker="o", ms=3, label=name)
    losses.set(yscale="log", ylabel="loss")
    shares.set(ylabel="held out, %", xlabel="epoch", ylim=(0, 100))
    for axes in (losses, shares):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _save(figure, run_path / "losses.png")


@torch.no_grad()
def draw_samples(path: Path, purifier: Purifier, clean_NCHW: Tensor, attacked_NCHW: Tensor) -> None:
    """Write a grid: clean, attacked, purified (A2C), what was changed (x8), attention map."""
    from matplotlib.figure import Figure

    was_training = purifier.training
    purifier.eval()
    spread = torch.linspace(0, len(clean_NCHW) - 1, min(COLUMNS, len(clean_NCHW))).long()  # images come sorted by class
    x, a = clean_NCHW[spread].float(), attacked_NCHW[spread].float()
    out = purifier.translate(a)
    purifier.train(was_training)
    change = (0.5 + 8 * (out.image_BCHW - a)).clamp(0, 1)
    figure = Figure(figsize=(1.3 * len(x), 6.8), layout="constrained")
    rows = {"clean": x, "attacked": a, "purified": out.image_BCHW, "change x8": change, "attention": out.heat_map_BHW}
    # Axes take far longer to lay out than pixels to draw, so there is one of them a row, and not one an image.
    for axes, (title, images) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        axes.imshow(_side_by_side(images.cpu().numpy()), cmap="magma")
        axes.set(xticks=[], yticks=[], ylabel=title, frame_on=False)
    _save(figure, path)


def _side_by_side(images: NDArray[np.float32]) -> Any:
    """Return BCHW images, or BHW maps that are each stretched to [0, 1], as one row with gaps that are not drawn."""
    if images.ndim == 3:
        lowest_B11 = images.min((1, 2), keepdims=True)
        images = (images - lowest_B11) / np.maximum(images.max((1, 2), keepdims=True) - lowest_B11, 1e-12)
    else:
        opaque_B1HW = np.ones_like(images[:, :1])
        images = np.moveaxis(np.concatenate([images, opaque_B1HW], axis=1), 1, -1)
    gap = images.shape[2] // 12 + 1
    empty = np.nan if images.ndim == 3 else 0.0  # a map's gap is no number, an image's is transparent
    widths = ((0, 0), (0, 0), (0, gap), *[(0, 0)] * (images.ndim - 3))
    row = np.concatenate(list(np.pad(images, widths, constant_values=empty)), axis=1)
    return row[:, :-gap]


def _save(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())
