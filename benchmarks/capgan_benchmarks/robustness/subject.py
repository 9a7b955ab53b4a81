"""What is benchmarked: a bundle with its torch pair where that is at hand, a run, or a packaged pair.

A run or a packaged pair is exported in memory, so that there is a file to score.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.fitting import make_scenario, reason_against
from capgan_benchmarks.robustness.image_source import ImageSource, require_data
from capgan_benchmarks.robustness.pair import Surrogate, TorchPair, find_surrogate, pair_from_source
from capgan_benchmarks.robustness.systems import System, artifact_system
from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.scenario import Scenario
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.backends import BF16
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import ONNX_RUNTIME, OPENVINO_BF16
from capgan_edge.runtime.manifest import MANIFEST
from capgan_export.gate.artifacts import Opened, judged_names, open_artifact, open_graph, precision_of

if TYPE_CHECKING:
    from capgan_export.source import Source

FP32 = "model.fp32.onnx"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Everything that scenarios and scores need; its runners are open until `close`."""

    name: str
    labels: tuple[str, ...]
    size_px: tuple[int, int]
    data: ImageSource
    source: Source | None
    """The torch pair; None where it is not at hand."""
    bundle: Bundle | None
    pair: TorchPair | None
    """Of the source."""
    surrogate: Surrogate | None
    artifacts: Mapping[str, Artifact]
    artifact_systems: tuple[System, ...]
    temperature: float = 1.0
    runtime: str = ONNX_RUNTIME
    """What computes the graphs, as robustness cards call it."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Artifacts that are not benchmarked, and why."""
    no_pair_why: str = ""
    """Why the source is not at hand."""

    @property
    def systems(self) -> tuple[System, ...]:
        """Everything that is scored: victim and pair in torch, then the artifacts."""
        return (*(() if self.pair is None else self.pair.systems), *self.artifact_systems)

    def images(self, n: int | None, seed: int) -> ImageSet:
        """Return test images, the first of all those that the seed orders; None is all."""
        return self.data.load(n, seed)[0]

    def why_not(self, name: str, artifact: str | None = None) -> str | None:
        """Return why a scenario does not apply, and what would; None where it does."""
        return reason_against(self, name, artifact)

    def scenario(self, name: str, artifact: str | None = None) -> Scenario:
        """Return a threat model on this subject; of an artifact's, on the first of its artifacts that it applies to.

        Raises:
            ConfigError: it does not apply; the message says what does.
        """
        return make_scenario(self, name, artifact)

    def close(self) -> None:
        """Free the runners."""
        for artifact in self.artifacts.values():
            artifact.runner.close()

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def find_subject(
    spec: str,
    *,
    artifacts: Sequence[str] = (),
    data: str | None = None,
    against: str | None = None,
    surrogate: Path | None = None,
    temperature: float = 1.0,
    runtime: str = ONNX_RUNTIME,
    allow_host_code: bool = False,
) -> Subject:
    """Return what `spec` names: a bundle's folder, a run's, or a packaged pair.

    Args:
        spec: a path or a name.
        artifacts: names in the bundle; empty is every graph that opens here.
        data: as `capgan_edge.data.load` takes it; None is what the pair was trained on.
        against: the run or packaged pair that a bundle was exported from; None looks for it.
        surrogate: a victim's run for transfer; None is the one packaged beside a pair.
        temperature: of artifact-fake-quant.
        runtime: what computes the graphs, as robustness cards call it.
        allow_host_code: run the code that a version-compatible engine brings along.

    Raises:
        CapganError: there is no such thing, it is damaged, or an artifact that was named does not open here.
    """
    if (Path(spec) / MANIFEST).exists():
        return _from_bundle(Bundle.open(spec), artifacts, data, against, surrogate, temperature, runtime,
                            allow_host_code=allow_host_code)  # fmt: skip
    if against is not None:
        raise ConfigError(f"expected --against beside a bundle, got {spec!r}, which is its own pair; leave it out")
    return _from_source(spec, artifacts, data, surrogate, temperature, runtime)


def _from_bundle(
    bundle: Bundle, wanted: Sequence[str], data: str | None, against: str | None, surrogate: Path | None,
    temperature: float, runtime: str, *, allow_host_code: bool,
) -> Subject:  # fmt: skip
    manifest, name = bundle.manifest, bundle.manifest.purifier.name
    source, why = _twin(bundle, against)
    size_px = (manifest.input.height, manifest.input.width)
    given = data if data is not None or source is None else source.data
    where = ImageSource(subject=name, source=require_data(given, name), is_own=data is None, labels=manifest.labels,
                     size_px=size_px)  # fmt: skip
    found = find_surrogate(surrogate, source)
    pair = None if source is None else pair_from_source(source)
    opened, left_out = _opened(bundle, wanted, runtime, allow_host_code=allow_host_code)
    systems = tuple(artifact_system(each, precision_of(manifest, each.name, runtime)) for each in opened.values())
    return Subject(name=name, labels=manifest.labels, size_px=size_px, data=where, source=source, bundle=bundle,
                   pair=pair, surrogate=found, artifacts=opened, artifact_systems=systems, temperature=temperature,
                   runtime=runtime, left_out=left_out, no_pair_why=why)  # fmt: skip


def _twin(bundle: Bundle, against: str | None) -> tuple[Source | None, str]:
    """Return the bundle's torch pair, or why there is none.

    Raises:
        ConfigError: the pair that was named has other weights.
    """
    from capgan_export.gate.twin import is_twin, search_twin
    from capgan_export.source import find_source

    if against is None:
        found = search_twin(bundle.manifest)
        return found.source, "; ".join(found.refusals) or "none in the zoo or under ./runs has its name"
    source = find_source(against)
    if not is_twin(source, bundle.manifest):
        raise ConfigError(
            f"expected the pair that {bundle.path} was exported from, got {source.name}, which has other weights or "
            "settings; name its own run with --against"
        )
    return source, ""


def _opened(
    bundle: Bundle, wanted: Sequence[str], runtime: str, *, allow_host_code: bool
) -> tuple[dict[str, Artifact], dict[str, str]]:
    """Open the artifacts wanted, or of all graphs those that open here; say of the others why not."""
    names = judged_names(bundle.manifest, wanted, runtime)
    engines = [name for name in bundle.manifest.engines if not wanted]
    left_out = dict.fromkeys(engines, "an engine, and none was asked for; name it with --artifact")
    opened: dict[str, Artifact] = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            if name in left_out:
                continue
            try:
                sha256 = bundle.manifest.files[name].sha256
                held = open_artifact(bundle, name, runtime, allow_host_code=allow_host_code)
                opened[name] = _artifact(name, sha256, held)
                stack.callback(opened[name].runner.close)
            except CapganError as error:
                if wanted:
                    raise
                left_out[name] = " ".join(str(error).split())
        if not opened:
            raise ArtifactError(
                f"{bundle.path}: expected an artifact that opens here, but: {'; '.join(left_out.values())}; export the "
                "bundle again"
            )
        stack.pop_all()
    return opened, left_out


def _from_source(
    spec: str, wanted: Sequence[str], data: str | None, surrogate: Path | None, temperature: float, runtime: str
) -> Subject:
    from capgan_export.fused import GraphOutputs
    from capgan_export.onnx_graph import graph_from_pair
    from capgan_export.source import find_source

    if unknown := [name for name in wanted if name != FP32]:
        raise ConfigError(
            f"expected {FP32}, the one file that {spec} is exported to, got {unknown[0]!r}; export a bundle and add "
            "others there (capgan-edge calibrate, build-engine)"
        )
    source = find_source(spec)
    found = find_surrogate(surrogate, source)
    model_bytes = graph_from_pair(source.purifier, source.victim, size_px=source.size_px, outputs=GraphOutputs(),
                                  properties={"precision": "fp32"})  # fmt: skip
    where = ImageSource(subject=source.name, source=source.data if data is None else data, is_own=data is None,
                     labels=source.labels, size_px=source.size_px)  # fmt: skip
    precision = BF16 if runtime == OPENVINO_BF16 else "fp32"
    artifact = _artifact(FP32, sha256_of_bytes(model_bytes), open_graph(model_bytes, precision, runtime))
    return Subject(name=source.name, labels=source.labels, size_px=source.size_px, data=where, source=source,
                   bundle=None, pair=pair_from_source(source), surrogate=found, artifacts={FP32: artifact},
                   artifact_systems=(artifact_system(artifact, precision),), temperature=temperature,
                   runtime=runtime)  # fmt: skip


def _artifact(name: str, sha256: str, opened: Opened) -> Artifact:
    return Artifact(name=name, sha256=sha256, runner=opened.runner, device=opened.device,
                    batch_range=opened.batch_range)  # fmt: skip
