"""Artifact query: Square against the runner itself, in frames of 8 bits, in batches that the artifact takes.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.crafting import craft_on, seeded
from capgan_benchmarks.threats.made_by import made_by
from capgan_benchmarks.threats.rounding import levels_within
from capgan_benchmarks.threats.scenario import Threat
from capgan_benchmarks.threats.transcript import Transcript
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack, Square

_OFF_GRID = 1e-3
"""Of a level: what float32 may put between a whole level and its 255th."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactQuery:
    """Logits of the artifact and nothing else; a batch that the runner interrupted goes on when crafted again.

    Epsilon is cut to whole levels. Square colours pixels with exactly epsilon, so each of its queries is then an 8-bit
    frame within epsilon, and none is rounded.
    """

    threat: ClassVar[Threat] = Threat(
        name="artifact-query", gradient_by="outputs of the artifact", scored="the artifact",
        knows="Nothing but the logits that the deployed file gives to 8-bit frames of the attacker's choice, as often "
        "as the attack asks.",
    )  # fmt: skip
    artifact: Artifact
    folder: Path | None = None
    """Where transcripts of interrupted batches are kept for another process; None keeps them in memory alone."""
    _interrupted: dict[str, Transcript] = field(default_factory=dict)

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        """Attack one batch.

        Raises:
            ConfigError: the attack is not Square, or epsilon is less than one level.
            ArtifactError: the runner raised; all answers so far are kept, and crafting the same batch goes on.
        """
        square = _in_levels(attack)
        key = sha256_of_bytes(repr((self.artifact.answers_by, made_by(), asdict(seeded(square, number)),
                                    images.labels_N.tolist(), sha256_of_bytes(images.images_NHWC.tobytes()))
                                   ).encode())  # fmt: skip
        with self._transcript(key) as transcript:
            model = _Asked(self.artifact, transcript)
            crafted = craft_on(square, images, number=number, threat=self.threat, target=model, judge=model,
                               judge_name=self.threat.scored)  # fmt: skip
        return replace(crafted, num_lost_queries=transcript.num_lost)

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return self.artifact.labels_of(frames_NHWC)

    @contextmanager
    def _transcript(self, key: str) -> Iterator[Transcript]:
        """Give the transcript of an attack: the interrupted one where there is one; done, it is forgotten."""
        path = None if self.folder is None else self.folder / f"{key[:32]}.npz"
        transcript = self._interrupted.pop(key, None)
        if transcript is None:
            transcript = Transcript.load(path) if path is not None and path.exists() else Transcript()
        transcript.rewind()
        try:
            yield transcript
        except BaseException:
            if transcript.num_answered or transcript.num_lost:
                self._interrupted[key] = transcript
                if path is not None:
                    transcript.save(path)
            raise
        if path is not None:
            path.unlink(missing_ok=True)


class _Asked:
    """An artifact as attacks see models: float images in, logits out."""

    def __init__(self, artifact: Artifact, transcript: Transcript) -> None:
        self._artifact, self._transcript = artifact, transcript

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        import torch

        levels_BCHW = x_BCHW * 255
        whole_BCHW = levels_BCHW.round()
        assert bool(((levels_BCHW - whole_BCHW).abs() <= _OFF_GRID).all())
        frames_BHWC = whole_BCHW.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        answers = [self._transcript.ask(self._artifact, batch) for batch in self._artifact.batches(frames_BHWC)]
        return torch.from_numpy(np.concatenate(answers))


def _in_levels(attack: Attack) -> Square:
    """Return the attack with epsilon cut to whole levels."""
    from capgan_edge.attacks import Square

    if not isinstance(attack, Square):
        raise ConfigError(
            f"expected Square, whose queries are 8-bit frames within epsilon, for artifact-query, got "
            f"{type(attack).__name__}; run that one in artifact-transfer or artifact-fake-quant"
        )
    levels = levels_within(attack.epsilon)
    if not levels:
        raise ConfigError(f"expected an epsilon of at least one 8-bit level, 1/255 or {1 / 255:.4f}, for "
                          f"artifact-query, got {attack.epsilon:g}; pass a larger one")  # fmt: skip
    return replace(attack, epsilon=levels / 255)
