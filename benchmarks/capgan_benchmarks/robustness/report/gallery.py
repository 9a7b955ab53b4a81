"""The worst images: what the camera saw, what the purifier made of it, where it looked, and the verdicts on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.pictures import NOISE_GAIN, data_uri, heat_over, magnified_noise
from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.choice import Chosen, choose, verdicts
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.robustness.report.markup import absent, badge, section, text
from capgan_benchmarks.robustness.report.portraits import Portraits, portraits_of, portraits_of_file, said
from capgan_benchmarks.robustness.report.reading import victims

if TYPE_CHECKING:
    from capgan_benchmarks.threats.artifact import Artifact

_LEAD = (
    "Of each threat model shown, the attack under which the defence fares worst at the main budget. Images are chosen "
    "by the rule under each heading, so not to please; how often it happens is in the tables. The difference is shown "
    f"{NOISE_GAIN} times as strong, on grey. "
    "Attention is the sum over the purifier's channels of <i>w<sub>k</sub>E<sub>k</sub></i> on the attacked frame, "
    "bright where it weighs most."
)


def gallery(record: RobustnessRecord, inputs: ReportInputs | None) -> str:
    """Return the section."""
    return section("images", "The images", _LEAD, _body(record, inputs))


def _body(record: RobustnessRecord, inputs: ReportInputs | None) -> str:
    if inputs is None:
        return absent("No images: the report was drawn from the record alone, which holds no pixels. Run the benchmark "
                      "(what was attacked before is not attacked again) and it draws them.")  # fmt: skip
    chosen = [each for each in choose(record, inputs) if each.rows]
    if not chosen:
        return absent("No image to show: no attacked frames were given, or none of them was right before the attack.")
    note = ""
    if inputs.source is None or inputs.source.victim.module is None:
        note = absent(_without_pair(inputs.file))
    return note + "".join(_scenario(record, inputs, each) for each in chosen)


def _without_pair(file: Artifact | None) -> str:
    if file is None:
        return ("The pair is not at hand in torch, so there are no purified images, no attention and no labels here; "
                "whether each system is right comes from the record.")  # fmt: skip
    return ("The pair is not at hand in torch, so there is no attention here; suspicion, labels and, if it was "
            f"exported with them (export --with-purified), purified images are those of {file.name}.")  # fmt: skip


def _scenario(record: RobustnessRecord, inputs: ReportInputs, chosen: Chosen) -> str:
    cell = chosen.cell
    indices = [index for index, _, _ in chosen.rows]
    clean_RHWC = inputs.images.images_NHWC[indices]
    attacked_RHWC = inputs.crafted[cell.scenario, cell.attack, cell.epsilon][indices]
    portraits = _portraits(inputs, clean_RHWC, attacked_RHWC)
    cards = "".join(
        _card(record, inputs, chosen, row, clean_RHWC[row], attacked_RHWC[row], portraits)
        for row in range(len(indices))
    )
    return (
        f'<article class="threat"><h3>{text(cell.title)}, {words.epsilon(cell.epsilon)}</h3>'
        f'<p class="soft">{text(chosen.rule)}</p><div class="cards">{cards}</div></article>'
    )


def _portraits(
    inputs: ReportInputs, clean_RHWC: NDArray[np.uint8], attacked_RHWC: NDArray[np.uint8]
) -> tuple[Portraits, Portraits] | None:
    if inputs.source is None or inputs.source.victim.module is None:
        if inputs.file is None:
            return None
        return portraits_of_file(inputs.file, clean_RHWC), portraits_of_file(inputs.file, attacked_RHWC)
    return portraits_of(inputs.source, clean_RHWC), portraits_of(inputs.source, attacked_RHWC)


def _card(
    record: RobustnessRecord,
    inputs: ReportInputs,
    chosen: Chosen,
    row: int,
    clean_HWC: NDArray[np.uint8],
    attacked_HWC: NDArray[np.uint8],
    portraits: tuple[Portraits, Portraits] | None,
) -> str:
    index, outcome, is_good = chosen.rows[row]
    truth, size_px = int(inputs.images.labels_N[index]), inputs.images.size_px
    tiles = [
        _tile(clean_HWC, "original", size_px),
        _tile(attacked_HWC, "as the camera saw it", size_px),
        _tile(magnified_noise(clean_HWC, attacked_HWC), f"difference \N{MULTIPLICATION SIGN}{NOISE_GAIN}", size_px),
    ]
    suspicion = ""
    if portraits is not None:
        before, after = portraits
        if after.purified_RHWC is not None:
            tiles.append(_tile(after.purified_RHWC[row], "what the purifier made", size_px))
        if after.heat_RHW is not None:
            tiles.append(_tile(heat_over(attacked_HWC, after.heat_RHW[row]), "attention", size_px, is_smooth=True))
        suspicion = (
            f"<small>suspicion {before.suspicion_R[row]:.2f} clean, {after.suspicion_R[row]:.2f} attacked</small>"
        )
    head = f"<h4><span>{text(inputs.name_of(truth))} <small>image {index}</small></span>"
    head += badge("good" if is_good else "bad", outcome) + "</h4>"
    said_of = _labels(record, portraits, row)
    return (
        f'<div class="card case">{head}<div class="tiles">{"".join(tiles)}</div>'
        f"{_table(record, inputs, chosen, index, said_of)}{suspicion}</div>"
    )


def _tile(image_HWC: NDArray[np.uint8], caption: str, size_px: tuple[int, int], *, is_smooth: bool = False) -> str:
    """Return a picture in the shape of the frames, whatever its own (heat maps are square)."""
    kind, said_there = "smooth" if is_smooth else "pixels", text(caption)
    height, width = size_px
    return (
        f'<figure><img class="{kind}" style="aspect-ratio:{width}/{height}" alt="{said_there}" '
        f'src="{data_uri(np.ascontiguousarray(image_HWC))}">'
        f"<figcaption>{said_there}</figcaption></figure>"
    )


def _labels(
    record: RobustnessRecord, portraits: tuple[Portraits, Portraits] | None, row: int
) -> dict[str, tuple[tuple[int, float], tuple[int, float]]]:
    """Return what those whose portraits these are say of the image before and after: label and probability."""
    if portraits is None:
        return {}
    before, after = portraits
    held = {}
    for system in record.systems:
        if system.kind == "victim" and before.bare_RK is not None and after.bare_RK is not None:
            held[system.name] = (said(before.bare_RK)[row], said(after.bare_RK)[row])
        elif system.name == after.file or (system.kind == "pair" and after.file is None):
            held[system.name] = (said(before.behind_RK)[row], said(after.behind_RK)[row])
    return held


def _table(
    record: RobustnessRecord,
    inputs: ReportInputs,
    chosen: Chosen,
    index: int,
    said_of: dict[str, tuple[tuple[int, float], tuple[int, float]]],
) -> str:
    truth, rows = int(inputs.images.labels_N[index]), []
    for system, before, after in verdicts(record, chosen.cell, index):
        first, second = (_agreeing(label, truth, is_right) for label, is_right in
                         zip(said_of.get(system, (None, None)), (before, after), strict=True))  # fmt: skip
        name = f"<em>{text(system)}</em>" if system in victims(record) else text(system)
        rows.append(
            f'<tr><th scope="row">{name}</th><td>{_said(inputs, before, first)}</td>'
            f"<td>{_said(inputs, after, second)}</td></tr>"
        )
    head = '<tr><th scope="col">System</th><th scope="col">Before</th><th scope="col">After</th></tr>'
    return f'<table class="verdicts"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _agreeing(label: tuple[int, float] | None, truth: int, is_right: bool | None) -> tuple[int, float] | None:
    """Return the label where it is right if the record says so: what was scored may have run elsewhere."""
    return label if label is not None and (label[0] == truth) is is_right else None


def _said(inputs: ReportInputs, is_right: bool | None, label: tuple[int, float] | None) -> str:
    if is_right is None:
        return "not scored"
    told = f"{inputs.name_of(label[0])} {label[1]:.2f}" if label else ("right" if is_right else "wrong")
    return f'<span class="{"right" if is_right else "wrong"}">{"✓" if is_right else "✗"} {text(told)}</span>'
