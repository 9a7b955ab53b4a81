"""The images that the report shows, chosen by a rule that it states. Shapes: R rows, H height, W width, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.scored import Scored
from capgan_edge.runtime.runner import Outputs, Runner

if TYPE_CHECKING:
    from capgan_edge.models.purifier import Purifier

NUM_CLASSES_SHOWN = 8
NUM_FAILURES_SHOWN = 2
HERO_CLASS = "stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A label and its softmax probability in [0, 1]."""

    label: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One sign: clean, attacked, purified, and where the purifier looked."""

    index: int
    """Of the image among those drawn."""
    truth: str
    clean_HWC: NDArray[np.uint8]
    attacked_HWC: NDArray[np.uint8]
    purified_HWC: NDArray[np.uint8]
    heat_HW: NDArray[np.float32]
    """At a quarter of the resolution."""
    victim_clean: Said
    victim_attacked: Said
    purified: Said
    """The victim's verdict on the attacked frame behind the purifier."""
    suspicion_clean: float
    suspicion_attacked: float

    @property
    def is_fooled(self) -> bool:
        """Whether the victim is right on the clean frame and wrong on the attacked one."""
        return self.victim_clean.label == self.truth != self.victim_attacked.label

    @property
    def is_saved(self) -> bool:
        """Whether the verdict behind the purifier is right."""
        return self.purified.label == self.truth


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which images are shown, and by which rule."""

    hero: int
    grid: tuple[int, ...]
    failures: tuple[int, ...]
    rule: str
    hero_rule: str


def choose(clean: Scored, attacked: Scored, class_names: Sequence[str]) -> Choice:
    """Choose images that the attack fools: some for each of several classes, and some that stay lost."""
    is_fooled_N = clean.is_victim_right & ~attacked.is_victim_right
    is_saved_N = is_fooled_N & attacked.is_purified_right
    stride = -(-len(class_names) // NUM_CLASSES_SHOWN)
    firsts = [_first(is_fooled_N & (clean.labels_N == label)) for label in range(0, len(class_names), stride)]
    grid = tuple(index for index in firsts if index is not None)
    lost = np.flatnonzero(is_fooled_N & ~attacked.is_purified_right)
    failures = tuple(int(index) for index in lost if index not in grid)[:NUM_FAILURES_SHOWN]
    every = "every class" if stride == 1 else f"every {_ordinal(stride)} class in the catalogue's order"
    rule = (
        f"For {every}, the first image drawn that the victim gets right clean and wrong under {attacked.kind}, "
        f"whatever the purifier makes of it; then the first {NUM_FAILURES_SHOWN} others that "
        "the purifier does not save."
    )
    hero, hero_rule = _hero(clean, is_fooled_N, is_saved_N, class_names)
    return Choice(hero=hero, grid=grid, failures=failures, rule=rule, hero_rule=hero_rule)


def _hero(
    clean: Scored, is_fooled_N: NDArray[np.bool_], is_saved_N: NDArray[np.bool_], class_names: Sequence[str]
) -> tuple[int, str]:
    is_stop_N = np.array([class_names[label] == HERO_CLASS for label in clean.labels_N])
    candidates = (
        (is_saved_N & is_stop_N, f"the first {HERO_CLASS} sign that is fooled and saved"),
        (is_saved_N, "the first sign that is fooled and saved"),
        (is_fooled_N, "the first sign that is fooled; none was saved"),
    )
    for is_candidate_N, rule in candidates:
        index = _first(is_candidate_N)
        if index is not None:
            return index, rule
    return 0, "the first sign drawn; the attack fooled the victim on none"


def _first(is_wanted_N: NDArray[np.bool_]) -> int | None:
    return int(is_wanted_N.argmax()) if is_wanted_N.any() else None


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def make_rows(
    indices: Sequence[int], clean: Scored, attacked: Scored, class_names: Sequence[str], runner: Runner, t_ac: Purifier
) -> list[Row]:
    """Run the chosen frames through the exported graph once more, for scores and pictures; heat maps are torch's."""
    chosen = list(indices)
    of_clean, of_attacked = runner(clean.frames_NHWC[chosen]), runner(attacked.frames_NHWC[chosen])
    purified_RHWC = of_attacked.purified_NHWC
    assert purified_RHWC is not None, "the demo's bundle has purified"
    victim_clean, victim_attacked = _said(_raw(of_clean), class_names), _said(_raw(of_attacked), class_names)
    purified = _said(of_attacked.logits_NK, class_names)
    heat_RHW = _heat_maps(t_ac, attacked.frames_NHWC[chosen])
    return [
        Row(
            index=index,
            truth=class_names[clean.labels_N[index]],
            clean_HWC=clean.frames_NHWC[index],
            attacked_HWC=attacked.frames_NHWC[index],
            purified_HWC=purified_RHWC[r],
            heat_HW=heat_RHW[r],
            victim_clean=victim_clean[r],
            victim_attacked=victim_attacked[r],
            purified=purified[r],
            suspicion_clean=float(of_clean.suspicion_N[r]),
            suspicion_attacked=float(of_attacked.suspicion_N[r]),
        )
        for r, index in enumerate(chosen)
    ]


def _raw(outputs: Outputs) -> NDArray[np.float32]:
    assert outputs.raw_logits_NK is not None, "the demo's bundle has raw_logits"
    return outputs.raw_logits_NK


def _said(logits_RK: NDArray[np.float32], class_names: Sequence[str]) -> list[Said]:
    exp_RK = np.exp(logits_RK.astype(np.float64) - logits_RK.max(axis=1, keepdims=True))
    share_RK = exp_RK / exp_RK.sum(axis=1, keepdims=True)
    return [Said(label=class_names[int(share_K.argmax())], score=float(share_K.max())) for share_K in share_RK]


def _heat_maps(t_ac: Purifier, frames_RHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    with torch.no_grad():
        x_RCHW = torch.from_numpy(frames_RHWC).permute(0, 3, 1, 2).float() / 255
        heat_RHW: NDArray[np.float32] = t_ac.translate(x_RCHW).heat_map_BHW.numpy()
    return heat_RHW
