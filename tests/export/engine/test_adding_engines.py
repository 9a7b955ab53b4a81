"""An engine joins its bundle whole or not at all; one that is there stays unless it is asked to go."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from capgan_edge.errors import ArtifactError, CapganError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.sidecar import Profile, sidecar_from_json
from capgan_export.engine.adding import add_engine
from capgan_export.engine.config import EngineConfig
from capgan_export.engine.door import Door

NAME = "engines/fp32-sm_86-b8.plan"
CONFIG = EngineConfig(precision="fp32", targets=("sm_86",))


def test_the_engine_and_its_sidecar_are_named_and_hashed(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    before = Bundle.open(path).manifest
    added = add_engine(path, CONFIG, door=door)
    bundle = Bundle.open(path)
    assert (added.name, added.is_kept) == (NAME, False)
    record = bundle.manifest.engines[NAME]
    sidecar = sidecar_from_json(bundle.read_file(record.sidecar), record.sidecar)
    assert sidecar == added.sidecar
    assert sidecar.sha256 == bundle.manifest.files[NAME].sha256
    assert record.source_sha256 == before.files["model.fp32.onnx"].sha256
    assert (record.flavour, record.version, record.targets) == (door.flavour, door.version, ("sm_86",))
    assert (bundle.manifest.artifacts, bundle.manifest.parity) == (before.artifacts, before.parity)


def test_an_engine_that_is_there_is_kept_and_another_is_not_replaced_unasked(
    copy_of: Callable[[], Path], door: Door
) -> None:
    path = copy_of()
    first = add_engine(path, CONFIG, door=door)
    again = add_engine(path, CONFIG, door=door)
    assert again.is_kept
    assert again.sidecar == first.sidecar
    other = EngineConfig(precision="fp32", targets=("sm_86",), profile=Profile(min=1, opt=4, max=8), workspace_gib=4.0)
    with pytest.raises(ArtifactError, match=r"batches 1,1,8, not 1,4,8; workspace None, not 4\.0; pass --force"):
        add_engine(path, other, door=door)
    assert Bundle.open(path).manifest.files[NAME].sha256 == first.sidecar.sha256
    forced = add_engine(path, other, door=door, overwrite=True)
    assert Bundle.open(path).manifest.files[NAME].sha256 == forced.sidecar.sha256 != first.sidecar.sha256
    several = EngineConfig(precision="fp32", targets=("sm_89", "sm_86"), profile=Profile(min=2, opt=2, max=2))
    assert add_engine(path, several, door=door).name == "engines/fp32-sm_86-sm_89-b2.plan"
    assert len(Bundle.open(path).manifest.engines) == 2


def test_an_engine_of_an_older_graph_is_told_from_the_one_asked_for(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    add_engine(path, CONFIG, door=door)
    with locked(path) as bundle:
        changed = bundle.read_artifact("fp32") + b"\x1a\x00"  # another producer: the same graph in other bytes
        grow_bundle(bundle, bundle.manifest, {"model.fp32.onnx": changed})
    with pytest.raises(ArtifactError, match=r"got one with graph [0-9a-f]{12}\.\.\., not [0-9a-f]{12}\.\.\.; pass"):
        add_engine(path, CONFIG, door=door)


def test_a_replaced_engine_loses_its_card_and_its_threshold(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    digest = add_engine(path, CONFIG, door=door).sidecar.sha256
    graph = Bundle.open(path).manifest.files["model.fp32.onnx"].sha256
    with locked(path) as bundle:
        manifest = bundle.manifest.model_copy(
            update={
                "cards": tuple(_card(name, held, graph) for name, held in ((NAME, digest), ("model.fp32.onnx", graph))),
                "thresholds": tuple(_threshold(n, h) for n, h in ((NAME, digest), ("model.fp32.onnx", graph))),
            }
        )
        grow_bundle(bundle, manifest, {})
    add_engine(path, CONFIG, door=door, overwrite=True)
    held = Bundle.open(path).manifest
    assert [card.artifact for card in held.cards] == ["model.fp32.onnx"]
    assert [threshold.artifact for threshold in held.thresholds] == ["model.fp32.onnx"]


def _card(name: str, digest: str, graph: str) -> RobustnessCard:
    check = CardCheck(name="cosine", kind="numeric", value=1.0, comparison="at least", limit=0.99, unit="cosine", n=1,
                      passed=True)  # fmt: skip
    return RobustnessCard(artifact=name, artifact_sha256=digest, against="model.fp32.onnx", against_sha256=graph,
                          created="2025-06-01", data="signs/test", seed=0, device="cpu", settings={}, checks=(check,),
                          passed=True)  # fmt: skip


def _threshold(name: str, digest: str) -> SuspicionThreshold:
    return SuspicionThreshold(artifact=name, artifact_sha256=digest, threshold=0.5, false_alarm_rate=0.01,
                              measured_rate=0.01, n=10, seed=0, data="signs/test")  # fmt: skip


def test_a_graph_that_is_not_there_names_those_that_are(copy_of: Callable[[], Path], door: Door) -> None:
    with pytest.raises(ArtifactError, match="expected a graph in int8, this bundle has fp32"):
        add_engine(copy_of(), EngineConfig(precision="int8"), door=door)


def test_two_builds_into_one_bundle_at_once_are_one_too_many(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    second: list[Exception] = []

    def build_too(phase: str, share: float) -> None:
        if not second:
            try:
                add_engine(path, CONFIG, door=door)
            except ArtifactError as error:
                second.append(error)

    add_engine(path, CONFIG, door=door, progress=build_too)
    assert "nobody else is writing" in str(second[0])
    assert list(Bundle.open(path).manifest.engines) == [NAME]


def test_a_full_disk_leaves_the_bundle_as_it_was(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    before = (path / "manifest.json").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = (path / "model.fp32.onnx").stat().st_size + 1000  # the graph fits, the engine does not
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CapganError, match=r"expected to write the bundle .*; nothing was changed there"):
            add_engine(path, CONFIG, door=door)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (path / "manifest.json").read_bytes() == before
    assert [held.name for held in path.parent.iterdir()] == [path.name]
    assert not (path / "engines").exists()


def test_a_plan_with_a_changed_byte_opens_no_bundle(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    plan = path / add_engine(path, CONFIG, door=door).name
    data = bytearray(plan.read_bytes())
    data[-1] ^= 1
    plan.write_bytes(data)
    with pytest.raises(ArtifactError, match="expected sha256"):
        Bundle.open(path)


def test_the_sidecar_is_json_that_others_can_read(copy_of: Callable[[], Path], door: Door) -> None:
    path = copy_of()
    add_engine(path, CONFIG, door=door)
    raw = json.loads((path / NAME).with_suffix(".json").read_bytes())
    assert raw["profile"] == {"min": 1, "opt": 1, "max": 8}
    assert (raw["targets"], raw["device"], raw["num_layers"]) == (["sm_86"], None, None)
    assert raw["rebuild"].startswith("capgan-edge build-engine BUNDLE --fp32")
