"""A bundle as the server holds it: its classifier, what its graph gives, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime import card_check
from capgan_edge.runtime.backends import open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier, Verdict
from capgan_edge.runtime.loading import classifier_from_opened
from capgan_edge.runtime.manifest import MANIFEST
from capgan_edge.runtime.runner import Outputs, Runner

CardState = Literal["passed", "weak", "failed", "none"]
"""Of the artifact's robustness card; a weak one passed, yet says little of what runs here: `card_warning` says why."""
OnDisk = Literal["as loaded", "replaced", "gone"]
_DATATYPE_OF = {"uint8": "UINT8", "float32": "FP32"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """A tensor of the graph in the protocol's terms; -1 is N."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_metadata(self) -> dict[str, Any]:
        """Return it as the protocol's model metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What N frames gave: the graph's outputs by name, and a verdict a frame."""

    outputs: dict[str, NDArray[Any]]
    verdicts: list[Verdict]

    def part(self, start: int, stop: int) -> Answers:
        """Return the answers to some of the frames."""
        outputs = {name: array[start:stop] for name, array in self.outputs.items()}
        return Answers(outputs=outputs, verdicts=self.verdicts[start:stop])


class _KeptOutputs:
    """A runner that keeps what its last call gave, so that verdicts and outputs come from one call; for one thread."""

    def __init__(self, runner: Runner) -> None:
        self.last: Outputs | None = None
        self._runner = runner

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        self.last = self._runner(frames_NHWC)
        return self.last

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> _KeptOutputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Loaded:
    """A bundle that was opened once: what becomes of it on disk changes nothing here."""

    def __init__(self, bundle: Bundle, checked: Classifier, runner: Runner) -> None:
        """Serve `bundle` through `runner`; `checked` is the classifier that held the two to the same contract."""
        described = checked.describe()
        manifest = bundle.manifest
        self.artifact: str = described["artifact"]
        self.sha256: str = described["sha256"]
        self.precision: str = described["precision"]
        self.card_warning: str | None = described["card_warning"]
        runtime = card_check.computing_runtime(described["backend"], self.precision)
        self.card_state = _card_state(bundle, self.artifact, runtime, self.card_warning)
        self.platform = "onnx_onnxv1" if self.artifact.endswith(".onnx") else "tensorrt_plan"
        self.max_batch = checked.max_batch
        self.size_px = checked.size_px
        self.input = TensorSpec(name="frames", datatype="UINT8", shape=(-1, *checked.size_px, 3))
        self.outputs = tuple(
            TensorSpec(name=spec.name, datatype=_DATATYPE_OF[spec.dtype],
                       shape=tuple(size if isinstance(size, int) else -1 for size in spec.shape))
            for spec in manifest.outputs
        )  # fmt: skip
        self._path = bundle.path.absolute()
        self._manifest_sha256 = _digest(self._path / MANIFEST)
        self._kept = _KeptOutputs(runner)
        self._live_info: Callable[[], dict[str, Any]] = checked.describe
        self._classifier = Classifier(
            self._kept,
            labels=checked.labels,
            size_px=checked.size_px,
            threshold=described["suspicion_threshold"],
            backend_reason=checked.backend_reason,
            max_batch=checked.max_batch,
        )

    def run(self, frames_NHWC: NDArray[np.uint8]) -> Answers:
        """Return the answers to 1 to `max_batch` frames of the graph's size; for one thread.

        Raises:
            CapganError: the engine failed, or gave something that is no number.
        """
        assert 1 <= len(frames_NHWC) <= self.max_batch
        verdicts = self._classifier.classify(frames_NHWC)
        last = self._kept.last
        assert last is not None
        held = {"logits": last.logits_NK, "suspicion": last.suspicion_N, "purified": last.purified_NHWC,
                "raw_logits": last.raw_logits_NK}  # fmt: skip
        outputs = {spec.name: held[spec.name] for spec in self.outputs}
        # The runner may use its arrays again in the next call.
        copies = {name: array.copy() for name, array in outputs.items() if array is not None}
        return Answers(outputs=copies, verdicts=verdicts)

    def on_disk(self) -> OnDisk:
        """Return what became of the bundle since it was opened."""
        digest = _digest(self._path / MANIFEST)
        if digest is None:
            return "gone"
        return "as loaded" if digest == self._manifest_sha256 else "replaced"

    def describe(self) -> dict[str, Any]:
        """Return what is served: the classifier's own description, the card, and what is on disk now."""
        return {**self._live_info(), "card": self.card_state, "bundle_on_disk": self.on_disk()}

    def close(self) -> None:
        """Free the engine."""
        self._classifier.close()


def load_for_serving(
    path: Path, *, backend: str = "auto", precision: str = "auto", threads: int | None = None,
    allow_host_code: bool = False, require_card: bool = False,
) -> Loaded:  # fmt: skip
    """Open the bundle at `path`; the options and errors are those of `capgan_edge.load`."""
    bundle = Bundle.open(path)
    opened = open_runner(bundle, backend=backend, precision=precision, threads=threads, allow_host_code=allow_host_code)
    checked = classifier_from_opened(bundle, opened, require_card=require_card)
    return Loaded(bundle, checked, opened.runner)


def _card_state(bundle: Bundle, artifact: str, runtime: str, warning: str | None) -> CardState:
    """Return the state of the card of what runs; where there is none, of one that was measured on another runtime."""
    own = card_check.card_of(bundle.manifest, artifact, runtime)
    card = own or next(iter(card_check.cards_of(bundle.manifest, artifact)), None)
    if card is None:
        return "none"
    if not card_check.has_passed(card):
        return "failed"
    return "passed" if warning is None else "weak"


def _digest(path: Path) -> str | None:
    try:
        return sha256_of_bytes(path.read_bytes())
    except OSError:
        return None
