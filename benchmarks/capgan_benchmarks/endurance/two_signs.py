"""JPEG pictures of two kinds that the bundle tells apart without doubt: what is sent is known from the verdict."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.endurance.bench import Bench, drawn_signs
from capgan_benchmarks.endurance.fault import NotTried
from capgan_benchmarks.endurance.footage import opened_classifier

_NUM_DRAWN, _SIZE_PX = 100, 96
_LEAST_SCORE = 0.8
_LEAST_PICTURES = 2
"""Of each kind, sent in turn: the same one again and again would be a frozen source."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of one kind."""

    label: str
    jpegs: tuple[bytes, ...]
    large_jpegs: tuple[bytes, ...]
    """The same, each pixel doubled."""

    def some(self, n: int, *, large: bool = False) -> list[bytes]:
        """Return n pictures, in turn."""
        held = self.large_jpegs if large else self.jpegs
        return [held[number % len(held)] for number in range(n)]


def two_signs(bench: Bench) -> tuple[Pictures, Pictures]:
    """Return pictures of the two labels that the bundle gives most surely.

    Raises:
        NotTried: it gives no two labels with confidence; that is no fault of what is tried.
    """
    by_label: dict[str, list[NDArray[np.uint8]]] = {}
    with opened_classifier(bench) as classifier:
        for sign_HWC in drawn_signs((_SIZE_PX, _SIZE_PX), _NUM_DRAWN, seed=bench.seed + 1):
            small, large = (decoded(jpeg(each)) for each in (sign_HWC, doubled(sign_HWC)))
            first, second = classifier.classify([small, large])
            if first.label == second.label and min(first.score, second.score) >= _LEAST_SCORE:
                by_label.setdefault(first.label, []).append(sign_HWC)
    sure = sorted(by_label.items(), key=lambda item: -len(item[1]))
    if len(sure) < 2 or len(sure[1][1]) < _LEAST_PICTURES:
        raise NotTried(f"needs a bundle that gives two labels to drawn signs with a score of {_LEAST_SCORE:g} each; "
                       "try one that was trained on signs")  # fmt: skip
    a, b = (Pictures(label, tuple(map(jpeg, held)), tuple(jpeg(doubled(each)) for each in held))
            for label, held in sure[:2])  # fmt: skip
    return a, b


def doubled(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the frame at twice its size."""
    return frame_HWC.repeat(2, axis=0).repeat(2, axis=1)


def jpeg(frame_HWC: NDArray[np.uint8]) -> bytes:
    """Encode an RGB frame."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(frame_HWC).save(held, "JPEG", quality=95)
    return held.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Decode an RGB frame."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
