"""What is timed: the graphs and engines of a bundle, or the FP32 graph of a packaged pair or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_benchmarks.latency.own import Graph
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.manifest import MANIFEST

if TYPE_CHECKING:
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What ships, and where it came from."""

    name: str
    """What records call it: never a path."""
    graphs: tuple[Graph, ...]
    engines: tuple[str, ...]
    labels: tuple[str, ...]
    size_px: tuple[int, int]
    bundle: Bundle | None
    source: Source | None
    """The modules; None where a bundle's are not known."""


def find_subject(spec: str, *, artifacts: Sequence[str], source: str | None) -> Subject:
    """Return what `spec` names: a bundle, a run, or a packaged pair.

    Args:
        spec: a bundle's folder, a run's, or a name in the zoo.
        artifacts: of a bundle, those to time; none is all.
        source: where a bundle's modules are; None looks for its purifier's name in the zoo.

    Raises:
        CapganError: there is no such thing, or the modules are not the bundle's.
    """
    if Path(spec, MANIFEST).is_file():
        return _from_bundle(Bundle.open(spec), artifacts, source)
    if artifacts or source is not None:
        raise ConfigError(
            f"expected a bundle with --artifact or --source, got {spec!r}, which is none; leave the option out"
        )
    from capgan_export.source import find_source

    return subject_from_source(find_source(spec))


def _from_bundle(bundle: Bundle, artifacts: Sequence[str], source: str | None) -> Subject:
    manifest = bundle.manifest
    held = (*(name for name in manifest.artifacts if name.endswith(".onnx")), *manifest.engines)
    unknown = [name for name in artifacts if name not in held]
    if unknown:
        raise ConfigError(f"expected artifacts among {', '.join(held)}, got {unknown[0]!r}; name some of these")
    wanted = tuple(artifacts) or held
    graphs = tuple(Graph(name=name, precision=manifest.artifacts[name].precision, model_bytes=bundle.read_file(name))
                   for name in wanted if name not in manifest.engines)  # fmt: skip
    return Subject(
        name=manifest.purifier.name,
        graphs=graphs,
        engines=tuple(name for name in wanted if name in manifest.engines),
        labels=manifest.labels,
        size_px=(manifest.input.height, manifest.input.width),
        bundle=bundle,
        source=_source_of(bundle, source),
    )


def _source_of(bundle: Bundle, spec: str | None) -> Source | None:
    """Return the modules that a bundle was exported from; None where none was named and none is found."""
    from capgan_export.gate.twin import is_twin, search_twin
    from capgan_export.source import find_source

    if spec is None:
        return search_twin(bundle.manifest).source
    source = find_source(spec)
    if is_twin(source, bundle.manifest):
        return source
    raise ConfigError(
        f"expected the modules that {bundle.path} was exported from, got {source.name}, which has other weights; "
        "name its own run with --source"
    )


def subject_from_source(source: Source) -> Subject:
    """Return the FP32 graph of a pair, exported in memory."""
    from capgan_export.fused import GraphOutputs
    from capgan_export.onnx_graph import graph_from_pair

    outputs = GraphOutputs(has_raw_logits=True)
    model_bytes = graph_from_pair(source.purifier, source.victim, size_px=source.size_px, outputs=outputs,
                                  properties={"precision": "fp32"})  # fmt: skip
    graph = Graph(name="model.fp32.onnx", precision="fp32", model_bytes=model_bytes)
    return Subject(name=source.name, graphs=(graph,), engines=(), labels=source.labels, size_px=source.size_px,
                   bundle=None, source=source)  # fmt: skip
