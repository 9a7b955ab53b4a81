"""An artifact from a bundle: scored as its twin, and traced to the graph that it is or was compiled from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capgan_benchmarks.threats.artifact import artifact_from_bundle, graph_of
from capgan_benchmarks.threats.defended import Defended
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.graph_twin import GraphTwin, twin_from_bundle
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import (
    ArtifactRecord,
    InputContract,
    Manifest,
    OutputSpec,
    PurifierIdentity,
    VictimIdentity,
)
from capgan_edge.runtime.sidecar import EngineSidecar, Profile, engine_record, json_from_sidecar
from capgan_export.source import Source

FP32, INT8, ENGINE = "model.fp32.onnx", "model.int8.onnx", "engines/int8.plan"
OUTPUTS = (OutputSpec(name="logits", dtype="float32", shape=("N", 20)),
           OutputSpec(name="suspicion", dtype="float32", shape=("N",)),
           OutputSpec(name="purified", dtype="uint8", shape=("N", 32, 32, 3)))  # fmt: skip


def bundle_of(path: Path, source: Source, graphs: dict[str, bytes], *, compiled: bytes) -> Bundle:
    """Write a bundle of graphs, and of an engine that says it was compiled from `compiled`."""
    sidecar = EngineSidecar(
        source=INT8, source_sha256=sha256_of_bytes(compiled), precision="int8", profile=Profile(min=1, opt=1, max=4),
        flavour="tensorrt", version="10", targets=(), device=None, flags=(), sha256=sha256_of_bytes(b"plan"),
        size_bytes=4, num_network_layers=8, num_layers=None, num_casts=None, num_reformats=None, seconds=0.1,
        created="2025-01-01", rebuild="capgan-edge build-engine BUNDLE --int8",
    )  # fmt: skip
    manifest = Manifest(
        created="2025-01-01", labels=source.labels, input=InputContract(height=32, width=32), outputs=OUTPUTS,
        artifacts={name: ArtifactRecord(precision=name.split(".")[1], opset=20) for name in graphs},
        engines={ENGINE: engine_record(sidecar, "engines/int8.json")}, tools={},
        victim=VictimIdentity(name="signs", sha256=sha256_of_bytes(b"f")),
        purifier=PurifierIdentity(name="signs", preset="nano", sha256=sha256_of_bytes(b"T"), config={}, macs=0,
                                  parameters=0),
    )  # fmt: skip
    return write_bundle(path, manifest, {**graphs, ENGINE: b"plan", "engines/int8.json": json_from_sidecar(sidecar)})


@pytest.fixture(scope="module")
def bundle(
    signs_source: Source, fp32_bytes: bytes, int8_bytes: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    path = tmp_path_factory.mktemp("threats") / "bundle"
    return bundle_of(path, signs_source, {FP32: fp32_bytes, INT8: int8_bytes}, compiled=int8_bytes)


def test_an_artifact_of_a_bundle_is_scored_as_its_twin(
    bundle: Bundle, defended: Defended, sign_images: ImageSet, fp32_bytes: bytes
) -> None:
    artifact = artifact_from_bundle(bundle, FP32)
    with artifact.runner:
        assert (artifact.sha256, artifact.batch_range) == (sha256_of_bytes(fp32_bytes), (1, 32))
        many_NHWC = np.concatenate([sign_images.images_NHWC] * 2)
        assert (artifact.labels_of(many_NHWC) == EndToEnd(defended=defended).labels_of(many_NHWC)).all()


def test_the_twin_of_an_engine_is_that_of_the_graph_it_was_compiled_from(bundle: Bundle, int8_twin: GraphTwin) -> None:
    assert [graph_of(bundle, name) for name in (FP32, INT8, ENGINE)] == [FP32, INT8, INT8]
    num_quantised = [twin_from_bundle(bundle, name).num_quantised for name in (FP32, INT8, ENGINE)]
    assert num_quantised == [0, int8_twin.num_quantised, int8_twin.num_quantised]


def test_an_artifact_that_is_not_there_or_whose_graph_was_replaced_is_refused(
    bundle: Bundle, signs_source: Source, fp32_bytes: bytes, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"got 'model\.int4\.onnx'"):
        graph_of(bundle, "model.int4.onnx")
    stale = bundle_of(tmp_path / "bundle", signs_source, {FP32: fp32_bytes}, compiled=b"another graph")
    with pytest.raises(ArtifactError, match="replaced since"):
        twin_from_bundle(stale, ENGINE)
