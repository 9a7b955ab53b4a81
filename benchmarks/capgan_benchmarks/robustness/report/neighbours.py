"""Images and logits in the plane, clean and attacked, by t-SNE (Figure 1 of the paper).

Shapes: N images, M points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Cell, RobustnessRecord, cells_of
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.clouds import clouds_of, shown_classes
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.robustness.report.markup import absent, section, text
from capgan_benchmarks.robustness.report.plots import scatter
from capgan_benchmarks.robustness.report.portraits import Portraits, portraits_of, portraits_of_file
from capgan_benchmarks.robustness.report.projection import MAX_POINTS, MIN_POINTS, projected
from capgan_benchmarks.robustness.report.reading import is_same, main_epsilon
from capgan_edge.errors import MissingDependencyError

_PAPERS_EPSILON = 16 / 255
"""Of its Figure 1."""
_SCENARIOS = ("white-box-victim", "transfer", "end-to-end")
_LEAD = (
    "Each point is an image, near others that are alike: <strong>dots</strong> are clean, <strong>crosses</strong> "
    "attacked, colour is the true class. Where an attack works, pixels hardly move and logits of the bare classifier "
    "do; behind the purifier they come back, or do not. t-SNE keeps neighbours, not distances: read clusters, "
    "measure nothing."
)


def neighbours(record: RobustnessRecord, inputs: ReportInputs | None) -> str:
    """Return the section."""
    return section("tsne", "Pixels and logits in the plane", _LEAD, _body(record, inputs))


def _body(record: RobustnessRecord, inputs: ReportInputs | None) -> str:
    if inputs is None:
        return absent("No scatter: the report was drawn from the record alone, which holds no pixels.")
    cell = _cell(record, inputs)
    if cell is None:
        return absent(f"No scatter: it takes attacked frames of at least {MIN_POINTS // 2} images of some attack.")
    n = min(cell.n, MAX_POINTS // 2)
    frames_MHWC = np.concatenate([inputs.images.images_NHWC[:n], _frames(inputs, cell)[:n]])
    try:
        panels = _panels(record, inputs, frames_MHWC)
    except MissingDependencyError as error:
        return absent(f"No scatter: {error}.")
    labels_N = inputs.images.labels_N[:n]
    shown = shown_classes(labels_N)
    budget = words.epsilon(cell.epsilon)
    said = f"{words.plural(n, 'image')}, each clean and under {cell.title} at {budget}; seed {record.seed}."
    drawn = "".join(
        f'<figure class="card"><figcaption>{text(title)}</figcaption>'
        + scatter(clouds_of(places_M2, labels_N, shown), title=f"t-SNE of {title}. {said}") + "</figure>"
        for title, places_M2 in panels
    )  # fmt: skip
    return f'{_key(inputs, shown, labels_N)}<div class="panels">{drawn}</div><p class="soft">{text(said)}</p>'


def _cell(record: RobustnessRecord, inputs: ReportInputs) -> Cell | None:
    """Return the cell nearest to the paper's: on the classifier, by FGSM, at 16/255."""
    cells = [
        cell for cell in cells_of(record)
        if MIN_POINTS // 2 <= cell.n <= min(len(_frames(inputs, cell)), len(inputs.images))
    ]  # fmt: skip

    def distance(cell: Cell) -> tuple[int, bool, bool, bool]:
        place = _SCENARIOS.index(cell.scenario) if cell.scenario in _SCENARIOS else len(_SCENARIOS)
        return (place, not is_same(cell.epsilon, _PAPERS_EPSILON), cell.attack != "FGSM",
                not is_same(cell.epsilon, main_epsilon(record)))  # fmt: skip

    return min(cells, key=distance, default=None)


def _frames(inputs: ReportInputs, cell: Cell) -> NDArray[np.uint8]:
    none_NHWC = inputs.images.images_NHWC[:0]
    return inputs.crafted.get((cell.scenario, cell.attack, cell.epsilon), none_NHWC)


def _panels(
    record: RobustnessRecord, inputs: ReportInputs, frames_MHWC: NDArray[np.uint8]
) -> list[tuple[str, NDArray[np.float64]]]:
    pixels_MD = frames_MHWC.reshape(len(frames_MHWC), -1).astype(np.float64)
    features = [("pixels", pixels_MD)]
    given = _given(inputs, frames_MHWC)
    if given is not None and given.bare_RK is not None:
        features.append(("logits of the bare classifier", given.bare_RK))
    if given is not None:
        features.append(("logits behind the purifier", given.behind_RK))
    return [(title, projected(features_MD, seed=record.seed)) for title, features_MD in features]


def _given(inputs: ReportInputs, frames_MHWC: NDArray[np.uint8]) -> Portraits | None:
    if inputs.source is not None and inputs.source.victim.module is not None:
        return portraits_of(inputs.source, frames_MHWC)
    return None if inputs.file is None else portraits_of_file(inputs.file, frames_MHWC)


def _key(inputs: ReportInputs, shown: Sequence[int], labels_N: NDArray[np.int64]) -> str:
    named = [
        f'<span><i style="background:var(--s{style})"></i>{text(inputs.name_of(label))}</span>'
        for style, label in enumerate(shown)
    ]
    num_others = len(np.unique(labels_N)) - len(shown)
    if num_others:
        named.append(f'<span><i style="background:var(--rest)"></i>{num_others} other classes</span>')
    return f'<div class="key">{"".join(named)}</div>'
