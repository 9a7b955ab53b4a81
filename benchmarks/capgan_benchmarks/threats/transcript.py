"""Every answer that an artifact gave to an attack, in order, so that the attack can go on where it was interrupted.

An attack is a function of its seed and of these answers: run again, it asks what it asked before, and is answered from
here until the questions are new. Shapes: N frames, K classes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.artifact import Artifact
from capgan_edge.errors import ArtifactError
from capgan_edge.files import sha256_of_bytes, write_atomic


class Transcript:
    """One call of the runner an entry: the hash of the frames, and the logits."""

    def __init__(self, *, num_lost: int = 0, path: Path | None = None) -> None:
        self.num_lost = num_lost
        """Frames of calls that raised: asked, and never answered."""
        self._path = path
        self._hashes: list[str] = []
        self._logits: list[NDArray[np.float32]] = []
        self._place = 0

    @property
    def num_answered(self) -> int:
        """Frames that were answered."""
        return sum(len(logits_NK) for logits_NK in self._logits)

    def rewind(self) -> None:
        """Answer from the start again."""
        self._place = 0

    def ask(self, artifact: Artifact, batch_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of one batch: on record, or from the artifact and then on record.

        Raises:
            ArtifactError: the artifact raised, or on record at this place is the answer to other frames.
        """
        digest = sha256_of_bytes(np.ascontiguousarray(batch_NHWC).tobytes())
        if self._place == len(self._hashes):
            self._logits.append(self._answer(artifact, batch_NHWC))
            self._hashes.append(digest)
        elif self._hashes[self._place] != digest:
            raise ArtifactError(
                "expected the interrupted attack to ask again what it asked before, got other frames; this machine "
                f"computes otherwise than the one it began on: {self._anew}"
            )
        self._place += 1
        return self._logits[self._place - 1]

    @property
    def _anew(self) -> str:
        return "start it in another process" if self._path is None else f"remove {self._path} and start it anew"

    def _answer(self, artifact: Artifact, batch_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return artifact.logits_of(batch_NHWC)
        except BaseException as error:
            self.num_lost += len(batch_NHWC)
            if not isinstance(error, Exception):
                raise
            raise ArtifactError(
                f"{artifact.name}: expected an answer to every query, but after {self.num_answered} answers "
                f"({self.num_lost} queries lost in all): {' '.join(str(error).split()) or type(error).__name__}; "
                "mend that and run the same attack again: it goes on from there"
            ) from error

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        file = io.BytesIO()
        num_frames = np.array([len(logits_NK) for logits_NK in self._logits], np.int64)
        logits_NK = np.concatenate(self._logits) if self._logits else np.empty((0, 0), np.float32)
        np.savez(file, hashes=np.array(self._hashes, "U64"), num_frames=num_frames, logits=logits_NK,
                 num_lost=np.array(self.num_lost, np.int64))  # fmt: skip
        write_atomic(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> Transcript:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file cannot be read, or is something else.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
                transcript = cls(num_lost=int(held["num_lost"]), path=path)
                num_frames, logits_NK = held["num_frames"], held["logits"].astype(np.float32)
                transcript._hashes = [str(digest) for digest in held["hashes"]]
            if len(num_frames) != len(transcript._hashes) or int(num_frames.sum()) != len(logits_NK):
                raise ValueError("its parts do not fit together")
            transcript._logits = np.split(logits_NK, np.cumsum(num_frames)[:-1]) if len(num_frames) else []
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(
                f"{path}: expected the transcript of an interrupted attack, but: {' '.join(str(error).split())[:160]}; "
                "remove it and start the attack anew"
            ) from error
        return transcript
