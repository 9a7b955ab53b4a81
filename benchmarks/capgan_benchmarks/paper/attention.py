"""Figure 3: where the purifier looks, on clean images and on those that FGSM of f made of them at 8/255.

The heat map is the sum over channels of w_k E_k. Images are not chosen: the first test image of each of the first ten
classes. Shapes: R images, H height, W width.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.pictures import data_uri, heat_over
from capgan_benchmarks.demo.sheet import draw_tile
from capgan_benchmarks.paper.plan import ATTENTION, columns_of, epsilons_of
from capgan_benchmarks.paper.systems import BARE, System

if TYPE_CHECKING:
    from capgan_benchmarks.paper.cells import Bench

_MAX_COLUMNS = 10
_LINES = ("clean", "attention", "attacked\n(FGSM, 8/255)", "attention", "purified")


def drawn_of(bench: Bench, systems: Sequence[System]) -> dict[str, Any]:
    """Return of each image what is seen: frames, heat maps, and labels; f's before, and behind the purifier."""
    import torch

    from capgan_benchmarks.threats.crafting import images_as_floats, labels_of_frames
    from capgan_export.fused import rounded

    bare = next(system for system in systems if system.name == BARE)
    purified = next(system for system in systems if system.name != BARE)
    images, crafted = bench.crafted(bare, columns_of(ATTENTION)[1], epsilons_of(ATTENTION)[0])
    rows = _first_of_each(images.labels_N)
    clean_RHWC, attacked_RHWC = images.images_NHWC[rows], crafted.frames_NHWC[rows]
    purify: Any = purified.defended.purify
    with torch.no_grad():
        before, after = (purify.translate(images_as_floats(frames)) for frames in (clean_RHWC, attacked_RHWC))
    said = {
        "clean_label": labels_of_frames(bare.defended, clean_RHWC),
        "attacked_label": labels_of_frames(bare.defended, attacked_RHWC),
        "purified_label": labels_of_frames(purified.defended, attacked_RHWC),
    }
    pictures = {"clean": clean_RHWC, "attacked": attacked_RHWC, "purified": rounded(after.image_BCHW).numpy()}
    heats = {"clean_heat": before.heat_map_BHW.numpy(), "attacked_heat": after.heat_map_BHW.numpy()}
    return {"class_names": list(images.class_names), "images": [
        {"index": row, "truth": int(images.labels_N[row])}
        | {name: int(labels_R[i]) for name, labels_R in said.items()}
        | {name: data_uri(np.ascontiguousarray(frames_RHWC[i])) for name, frames_RHWC in pictures.items()}
        | {name: np.round(heat_RHW[i].astype(np.float64), 4).tolist() for name, heat_RHW in heats.items()}
        for i, row in enumerate(rows)]}  # fmt: skip


def png_of(record: Mapping[str, Any]) -> bytes:
    """Return the figure: a column an image, green where f is right of what is above its name, red where it is wrong."""
    from matplotlib.figure import Figure

    drawn = record["drawn"]
    columns, names = drawn["images"], drawn["class_names"]
    figure = Figure(figsize=(1.15 * len(columns) + 0.9, 7.0), layout="constrained")
    grid = figure.subplots(len(_LINES), len(columns), squeeze=False)
    for column, held in enumerate(columns):
        clean_HWC, attacked_HWC, purified_HWC = (_pixels(held[name]) for name in ("clean", "attacked", "purified"))
        shown = ((clean_HWC, held["clean_label"]), (_heat(clean_HWC, held["clean_heat"]), None),
                 (attacked_HWC, held["attacked_label"]), (_heat(attacked_HWC, held["attacked_heat"]), None),
                 (purified_HWC, held["purified_label"]))  # fmt: skip
        for line, (image_HWC, label) in enumerate(shown):
            words, is_right = ("", None) if label is None else (names[label][:18], label == held["truth"])
            draw_tile(grid[line][column], image_HWC, words, is_right=is_right, text_size=7)
    for line, title in enumerate(_LINES):
        grid[line][0].set_ylabel(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _first_of_each(labels_N: NDArray[np.int64]) -> list[int]:
    _, first = np.unique(labels_N, return_index=True)
    return [int(row) for row in first[:_MAX_COLUMNS]]


def _pixels(uri: str) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(uri.split(",", maxsplit=1)[1]))) as image:
        return np.asarray(image.convert("RGB"))


def _heat(frame_HWC: NDArray[np.uint8], heat: list[list[float]]) -> NDArray[np.uint8]:
    return heat_over(frame_HWC, np.array(heat, np.float32))
