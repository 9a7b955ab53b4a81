"""What every system says of clean and attacked frames, asked once for the same frames.

Shapes: N images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import Detection, Score, packed
from capgan_benchmarks.robustness.suspicion import detection_of
from capgan_benchmarks.robustness.systems import Said, System
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.files import sha256_of_bytes


class Scorer:
    """Asks each system about frames, and remembers the answers."""

    def __init__(self, systems: Sequence[System]) -> None:
        self.systems = tuple(systems)
        self._held: dict[str, dict[str, Said]] = {}

    def say(self, frames_NHWC: NDArray[np.uint8]) -> dict[str, Said]:
        """Return what each system says, by its name."""
        key = sha256_of_bytes(np.ascontiguousarray(frames_NHWC).tobytes())
        if key not in self._held:
            self._held[key] = {system.name: system.say(frames_NHWC) for system in self.systems}
        return self._held[key]


def score_of(system: str, right_N: NDArray[np.bool_]) -> Score:
    """Return how many a system got right."""
    n, num_right = len(right_N), int(right_N.sum())
    return Score(system=system, n=n, num_right=num_right, percent=100 * num_right / n,
                 interval_95=wilson_interval_percent(num_right, n), right=packed(right_N))  # fmt: skip


def detections_of(
    clean: Mapping[str, Said], attacked: Mapping[str, Said], labels_N: NDArray[np.int64]
) -> tuple[Detection, ...]:
    """Return how each system's suspicion tells the attacked frames from the clean ones that they were made from.

    Each system by what fools itself: a frame that fools the twin and not the artifact is no success on the artifact.
    """
    found = []
    for name, said in attacked.items():
        clean_N = clean[name].suspicion_N
        if clean_N is not None and said.suspicion_N is not None:
            found.append(detection_of(name, clean_N[: len(labels_N)], said.suspicion_N,
                                      is_fooled_M=said.labels_N != labels_N))  # fmt: skip
    return tuple(found)
