"""What every run here works on: a bundle, how it is run, and drawn signs with the answers that it gives to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.endurance.answers import KnownAnswers, distinct
from capgan_edge.errors import DataError
from capgan_edge.runtime.backends import Opened, open_runner
from capgan_edge.runtime.bundle import Bundle

_NUM_DRAWN = 128
_LEAST_DISTINCT = 8
_TOLERANCE_SHARE = 1e-3
"""Of the largest logit: far above what another batch size changes in FP32, far below what tells two signs apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How the bundle is run, here and in every process."""

    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    @property
    def options(self) -> list[str]:
        """Of the command line."""
        threads = [] if self.threads is None else ["--threads", str(self.threads)]
        return ["--backend", self.backend, "--precision", self.precision, *threads]

    @property
    def settings(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)

    def open(self, bundle: Bundle) -> Opened:
        """Open a runner."""
        return open_runner(bundle, backend=self.backend, precision=self.precision, threads=self.threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """Frames of the graph's size, and what the bundle answers to each."""

    frames_NHWC: NDArray[np.uint8]
    known: KnownAnswers
    """Logits."""

    def __len__(self) -> int:
        return len(self.frames_NHWC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A bundle to be tried, and a folder for what is needed on the way."""

    bundle: Path
    running: Running
    folder: Path
    questions: Questions
    seed: int
    """Of signs and arrivals."""
    identity: dict[str, str]
    """Of what is run: artifact, its hash, precision, backend."""

    @property
    def has_gpu(self) -> bool:
        """What is run needs one."""
        return self.identity["backend"] in ("cuda", "tensorrt")


def set_up(bundle_path: Path, running: Running, folder: Path, *, seed: int = 0) -> Bench:
    """Draw signs, and ask the bundle once, one frame at a time, what it answers to each.

    Raises:
        ArtifactError: the bundle is none, or cannot be run so.
        DataError: it answers nearly the same to all signs, so that a mix-up could not be seen.
    """
    bundle = Bundle.open(bundle_path)
    opened = running.open(bundle)
    with opened.runner as runner:
        frames_NHWC = drawn_signs(runner.contract.size_px, _NUM_DRAWN, seed=seed)
        logits_NK = np.concatenate([runner(frames_NHWC[i : i + 1]).logits_NK.copy() for i in range(_NUM_DRAWN)])
    answers_NK = logits_NK.astype(np.float64)
    tolerance = _TOLERANCE_SHARE * float(np.abs(answers_NK).max())
    kept = distinct(answers_NK, tolerance)
    if len(kept) < _LEAST_DISTINCT:
        raise DataError(
            f"expected a bundle that tells {_LEAST_DISTINCT} drawn signs apart, got {len(kept)} different answers to "
            f"{_NUM_DRAWN}; a mix-up could not be seen: try a bundle that was trained"
        )
    identity = {"artifact": opened.artifact, "sha256": bundle.manifest.files[opened.artifact].sha256,
                "precision": opened.precision, "backend": opened.backend, "purifier": bundle.manifest.purifier.name,
                "victim": bundle.manifest.victim.name}  # fmt: skip
    questions = Questions(frames_NHWC=frames_NHWC[kept], known=KnownAnswers(answers_NK[kept], tolerance))
    return Bench(bundle=bundle_path.absolute(), running=running, folder=folder, questions=questions, seed=seed,
                 identity=identity)  # fmt: skip


def drawn_signs(size_px: tuple[int, int], n: int, *, seed: int) -> NDArray[np.uint8]:
    """Return n signs, classes in turn."""
    from capgan_edge.data.signs import load_signs

    height, width = size_px
    drawn = load_signs("test", size_px=max(size_px), n=n, seed=seed)
    return np.ascontiguousarray(drawn.images_NHWC[:, :height, :width])
