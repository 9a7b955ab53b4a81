"""Accuracy of a model on clean test images and under PGD with its own gradients, on the 8-bit frames of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.attacked_sets import AttackedSet, attacked_set, clean_set, right_frames
from capgan_benchmarks.right import packed
from capgan_benchmarks.statistics import wilson_interval_percent

CLASS_HEAD = "the class head"

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import Attack
    from capgan_edge.data.images import ImageSet

    Model = Callable[[Tensor], Tensor]


def figures_of(
    model: Model, test: ImageSet, *attacks: Attack, knowledge: str, behind: Model | None = None
) -> list[dict[str, Any]]:
    """Return a figure each of the clean images and of those that an attack on the model leaves.

    With `behind`, the class head that the model reads its decision from, an image is right only where it is both under
    the attack on the model and under the same one on that.

    Gradients are fp32; frames are rounded to 8 bits before they are scored. `right` says which images were labelled
    rightly, in the order of the test images, so that two models can be compared image by image.
    """
    sets = [clean_set(test), *(attacked_set(each, model, knowledge, test, is_bf16=False) for each in attacks)]
    climbed = [knowledge] if behind is None else [knowledge, CLASS_HEAD]
    figures = [_figure(each, right_frames(model, each)) for each in sets[:1]]
    for attack, attacked in zip(attacks, sets[1:], strict=True):
        is_right_N = right_frames(model, attacked)
        if behind is not None:
            is_right_N &= right_frames(model, attacked_set(attack, behind, CLASS_HEAD, test, is_bf16=False))
        figures.append(_figure(attacked, is_right_N) | {"on": climbed})
    return figures


def _figure(attacked: AttackedSet, is_right_N: NDArray[np.bool_]) -> dict[str, Any]:
    n, num_right = len(is_right_N), int(np.count_nonzero(is_right_N))
    low, high = wilson_interval_percent(num_right, n)
    return {"frames": attacked.name, "settings": attacked.settings, "n": n, "percent": round(100 * num_right / n, 3),
            "interval_95": [round(low, 3), round(high, 3)], "right": packed(is_right_N)}  # fmt: skip
