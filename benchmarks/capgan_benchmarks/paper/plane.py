"""Figure 1: t-SNE of pixels, of the logits of f, and of those behind CAP-GAN, clean and under FGSM of f at 16/255.

Shapes: N images, M points: N clean, then N attacked, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.paper.plan import PLANE, columns_of, epsilons_of
from capgan_benchmarks.paper.systems import BARE, System
from capgan_benchmarks.robustness.report.clouds import clouds_of, shown_classes
from capgan_benchmarks.robustness.report.plots import SIDE, scatter
from capgan_benchmarks.robustness.report.projection import MAX_POINTS, MIN_POINTS, projected
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_benchmarks.paper.cells import Bench

_BATCH = 64
_APART, _HEAD, _KEY = 12, 26, 30
_COLOURS = ("#c8443c", "#1f5fc4", "#008a63", "#b36b00", "#8a3fb0", "#0089a7", "#6b5b2e", "#c2327e", "#5f8a00",
            "#4a4f9e")  # fmt: skip
_REST = "#b3bbc6"
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#24292f}text.head{font-size:13px;text-anchor:middle}"
    ".dot{fill:none;stroke:currentColor;stroke-width:5;stroke-linecap:round;opacity:.7}"
    f".cross{{fill:none;stroke:currentColor;stroke-width:1.5}}.rest{{color:{_REST}}}"
    + "".join(f".s{i}{{color:{colour}}}" for i, colour in enumerate(_COLOURS))
)


def drawn_of(bench: Bench, systems: Sequence[System]) -> dict[str, Any]:
    """Return places in the plane of the first images, clean and attacked, by pixels and by every system's logits."""
    bare = next(system for system in systems if system.name == BARE)
    images, crafted = bench.crafted(bare, columns_of(PLANE)[1], epsilons_of(PLANE)[0])
    n = min(len(images), MAX_POINTS // 2)
    if 2 * n < MIN_POINTS:
        raise ConfigError(f"expected at least {MIN_POINTS // 2} test images for Figure 1, got {n}; pass a larger --n")
    frames_MHWC = np.concatenate([images.images_NHWC[:n], crafted.frames_NHWC[:n]])
    features = [("pixels", frames_MHWC.reshape(2 * n, -1).astype(np.float64))]
    features += [(f"logits of {'f' if system is bare else f'f behind {system.name}'}", _logits(system, frames_MHWC))
                 for system in systems]  # fmt: skip
    return {"n": n, "labels": images.labels_N[:n].tolist(), "class_names": list(images.class_names), "panels": [
        {"title": title, "places": np.round(projected(features_MD, seed=bench.seed), 2).tolist()}
        for title, features_MD in features]}  # fmt: skip


def svg_of(record: Mapping[str, Any]) -> str:
    """Return the figure: a panel a kind of feature, dots clean and crosses attacked, a colour a class."""
    drawn = record["drawn"]
    labels_N = np.array(drawn["labels"], np.int64)
    shown = shown_classes(labels_N)
    width, height = len(drawn["panels"]) * (SIDE + _APART), _HEAD + SIDE + _KEY
    parts = [_panel(panel, labels_N, shown, i) for i, panel in enumerate(drawn["panels"])]
    parts.append(_key([drawn["class_names"][label] for label in shown], len(set(drawn["labels"])) > len(shown), width))
    title = f"t-SNE of {drawn['n']} images of {record['data']}, clean (dots) and under FGSM of f at 16/255 (crosses)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _panel(panel: Mapping[str, Any], labels_N: NDArray[np.int64], shown: Sequence[int], number: int) -> str:
    clouds = clouds_of(np.array(panel["places"]), labels_N, shown)
    left = number * (SIDE + _APART)
    placed = f'<svg x="{left}" y="{_HEAD}" width="{SIDE}" height="{SIDE}" '
    return (f'<text class="head" x="{left + SIDE / 2:g}" y="18">{escape(panel["title"])}</text>'
            + scatter(clouds, title=panel["title"]).replace("<svg ", placed, 1))  # fmt: skip


def _key(names: Sequence[str], has_rest: bool, width: int) -> str:
    entries = [(f"s{i}", name) for i, name in enumerate(names)] + ([("rest", "others")] if has_rest else [])
    step, top = width / len(entries), _HEAD + SIDE + 19
    return "".join(
        f'<path class="dot {kind}" d="M{step * i + 12:.0f} {top - 4}h0"/>'
        f'<text x="{step * i + 20:.0f}" y="{top}">{escape(name[:16])}</text>'
        for i, (kind, name) in enumerate(entries)
    )


def _logits(system: System, frames_MHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    import torch

    from capgan_benchmarks.threats.crafting import images_as_floats

    with torch.no_grad():
        parts = [system.defended(images_as_floats(frames_MHWC[start : start + _BATCH])).double().numpy()
                 for start in range(0, len(frames_MHWC), _BATCH)]  # fmt: skip
    return np.concatenate(parts)
