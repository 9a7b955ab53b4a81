"""FP16 in a bundle: held against FP32 on real and attacked frames, never overwritten unasked, and all or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from test_export_command import write_images, write_run
from tiny_pair import make_frames

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import Figure, SuspicionThreshold
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.bundling import export_pair
from capgan_export.parity import ParityConfig, ProbeFrames
from capgan_export.precision.adding import FP16_ARTIFACT, FP16_PARITY, add_fp16
from capgan_export.precision.kept import A_NORM, IN_A_NORM
from capgan_export.source import find_source, load_frames
from capgan_export.verification import verify_bundle

FP32_ARTIFACT = "model.fp32.onnx"


def attacked_frames(kind: str = "attacked") -> ProbeFrames:
    return ProbeFrames(kind=kind, frames_NHWC=make_frames(40).images_NHWC[::-1].copy(), settings={"data": "backwards"})


@pytest.fixture(scope="module")
def signs_with_fp16(signs_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, list[str]]:
    path = Path(shutil.copytree(signs_bundle.path, tmp_path_factory.mktemp("fp16") / "bundle"))
    said: list[str] = []
    return add_fp16(path, say=said.append), said


def test_a_pair_of_the_zoo_is_compared_on_its_own_data_clean_and_attacked(
    signs_with_fp16: tuple[Bundle, list[str]],
) -> None:
    bundle, _ = signs_with_fp16
    digest = bundle.manifest.files[FP16_ARTIFACT].sha256
    records = {record.frames: record for record in bundle.manifest.parity if record.artifact == FP16_ARTIFACT}
    assert records.keys() == {"clean", "attacked"}
    for record in records.values():
        assert (record.n, record.passed, record.top1_agreement) == (96, True, 1.0)
        assert record.settings["artifact_sha256"] == digest
        assert 0 < record.max_abs_logits < record.tolerance / 4, "far inside: the tolerance leaves room for others"
        assert record.settings["max_levels_purified"] <= 1
        assert record.settings["remarks"] == []
    assert records["attacked"].settings["attacks"] == "fgsm on the first 48, pgd-7 on the rest"


def test_the_bundle_verifies_and_its_fp32_graph_is_untouched(
    signs_with_fp16: tuple[Bundle, list[str]], signs_bundle: Bundle
) -> None:
    bundle, _ = signs_with_fp16
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.read_artifact("fp32") == signs_bundle.read_artifact("fp32")
    assert verify_bundle(bundle.path).passed


def test_the_record_tells_what_stayed_and_people_are_told_too(signs_with_fp16: tuple[Bundle, list[str]]) -> None:
    bundle, said = signs_with_fp16
    record = bundle.manifest.artifacts[FP16_ARTIFACT]
    assert (record.precision, record.opset) == ("fp16", 20)
    assert record.source_sha256 == bundle.manifest.files[FP32_ARTIFACT].sha256
    kept = {group["reason"]: group["nodes"] for group in record.settings["kept_in_fp32"]}  # type: ignore[index]
    names = {node.name for node in onnx.load_model_from_string(bundle.read_artifact("fp16")).graph.node}
    assert {name for nodes in kept.values() for name in nodes} <= names
    num_kept = sum(len(nodes) for nodes in kept.values())
    assert said[0] == f"{FP16_ARTIFACT}: {num_kept} of {record.settings['num_nodes']} nodes stay in FP32"
    assert any(f"{len(kept[A_NORM])} (" in line and A_NORM in line for line in said)
    assert any("finite on clean, attacked, black, white, noise frames" in line for line in said)
    assert 1 < float(record.settings["largest_fp16_value"]) < 65504  # type: ignore[arg-type]


def test_fp16_close_to_fp32_on_a_graph_with_adalin(paper_bundle: Bundle, tmp_path: Path) -> None:
    path = Path(shutil.copytree(paper_bundle.path, tmp_path / "bundle"))
    bundle = add_fp16(path, frames=make_frames(), attacked=attacked_frames())
    records = [record for record in bundle.manifest.parity if record.artifact == FP16_ARTIFACT]
    assert [(r.frames, r.n, r.passed) for r in records] == [("clean", 48, True), ("attacked", 40, True)]
    assert records[1].settings["data"] == "backwards"
    reasons = {group["reason"] for group in bundle.manifest.artifacts[FP16_ARTIFACT].settings["kept_in_fp32"]}  # type: ignore[index,union-attr,call-overload]
    assert {A_NORM, IN_A_NORM} <= reasons
    frames_NHWC = make_frames(5).images_NHWC
    with OrtRunner(bundle.read_artifact("fp16")) as half, OrtRunner(bundle.read_artifact("fp32")) as full:
        np.testing.assert_allclose(half(frames_NHWC).suspicion_N, full(frames_NHWC).suspicion_N, atol=1e-2)


def test_without_frames_synthetic_ones_stand_in_and_it_is_said(copy_of: Callable[[], Path]) -> None:
    said: list[str] = []
    bundle = add_fp16(copy_of(), say=said.append)
    (record,) = [record for record in bundle.manifest.parity if record.artifact == FP16_ARTIFACT]
    assert (record.frames, record.n, record.passed) == ("synthetic", FP16_PARITY.num_frames, True)
    remarks = record.settings["remarks"]
    assert isinstance(remarks, list)
    assert [str(remark).split(":")[0] for remark in remarks] == ["no real frames were given", "no attacked frames"]
    assert set(map(str, remarks)) <= set(said)


def test_a_run_of_ones_own_is_compared_on_its_data_clean_and_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "cache"))
    write_images(tmp_path / "signs")
    write_run(tmp_path / "runs" / "night")
    run = find_source("runs/night")
    frames = load_frames(run.data, run.size_px, num_frames=40)
    export_pair(run.purifier, run.victim, labels=run.labels, size_px=run.size_px, frames=frames, name=run.name,
                out=tmp_path / "bundle")  # fmt: skip
    bundle = add_fp16(tmp_path / "bundle")
    records = {record.frames: record for record in bundle.manifest.parity if record.artifact == FP16_ARTIFACT}
    assert records.keys() == {"clean", "attacked"}
    assert records["clean"].settings["data"] == frames.name
    assert [record.settings["remarks"] for record in records.values()] == [[], []]


def test_a_zoo_name_over_other_weights_is_not_believed(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    with locked(path) as bundle:
        named = bundle.manifest.purifier.model_copy(update={"name": "signs-nano"})
        grow_bundle(bundle, bundle.manifest.model_copy(update={"purifier": named}), {})
    said: list[str] = []
    bundle = add_fp16(path, frames=make_frames(), say=said.append)
    assert any("not those of the zoo's signs-nano" in line for line in said)
    assert [r.frames for r in bundle.manifest.parity if r.artifact == FP16_ARTIFACT] == ["clean"]


def test_a_graph_that_is_there_is_kept_until_overwriting_is_asked_for(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    first = add_fp16(path, frames=make_frames())
    marked = threshold(first)
    with locked(path) as bundle:
        thresholds = (marked, threshold(first, FP32_ARTIFACT))
        figures = tuple(figure(name) for name in (FP16_ARTIFACT, FP32_ARTIFACT))
        old = {"thresholds": thresholds, "figures": figures, "schema_version": 1}
        grow_bundle(bundle, bundle.manifest.model_copy(update=old), {})
    said: list[str] = []
    again = add_fp16(path, frames=make_frames(), say=said.append)
    assert "kept" in said[-1]
    assert marked in again.manifest.thresholds
    anew = add_fp16(path, frames=make_frames(), attacked=attacked_frames("shifted"), overwrite=True)
    assert anew.read_artifact("fp16") == first.read_artifact("fp16")
    assert [t.artifact for t in anew.manifest.thresholds] == [FP32_ARTIFACT], "what was bound to the old one is gone"
    assert [f.settings["artifact"] for f in anew.manifest.figures] == [FP32_ARTIFACT]
    assert anew.manifest.schema_version == 2
    assert [r.frames for r in anew.manifest.parity] == ["clean", "attacked", "clean", "shifted"]


def threshold(bundle: Bundle, artifact: str = FP16_ARTIFACT) -> SuspicionThreshold:
    return SuspicionThreshold(artifact=artifact, artifact_sha256=bundle.manifest.files[artifact].sha256, threshold=0.5,
                              false_alarm_rate=0.01, measured_rate=0.01, n=8, seed=0,
                              data=f"made on {date(2020, 1, 1)}")  # fmt: skip


def figure(artifact: str) -> Figure:
    return Figure(name=f"accuracy, {artifact}", value=50, unit="%", n=8, seed=0, settings={"artifact": artifact},
                  data="random", device="cpu")  # fmt: skip


def test_a_graph_made_from_other_weights_is_told_apart(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    add_fp16(path, frames=make_frames())
    rewrite(path, "victim.head.bias", lambda bias: bias + 1)
    with pytest.raises(ArtifactError, match=r"made from another graph; make it again with overwrite=True"):
        add_fp16(path, frames=make_frames())
    assert add_fp16(path, frames=make_frames(), overwrite=True).precisions == ("fp32", "fp16")


def rewrite(path: Path, weight: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change a weight of the FP32 graph in a bundle, with the right hashes."""
    with locked(path) as bundle:
        model = onnx.load_model_from_string(bundle.read_artifact("fp32"))
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == weight)
        changed = change(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(changed, weight))
        grow_bundle(bundle, bundle.manifest, {FP32_ARTIFACT: model.SerializeToString()})


def test_a_model_that_overflows_in_fp16_leaves_the_bundle_as_it_was(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    rewrite(path, "victim.stem.weight", lambda weight: weight / np.abs(weight).max() * 6e4)
    before = Bundle.open(path).manifest
    with OrtRunner(Bundle.open(path).read_artifact()) as full:
        assert np.isfinite(full(make_frames(40).images_NHWC).logits_NK).all(), "in FP32 it works"
    with pytest.raises(ArtifactError, match=r"expected finite values on clean frames, .* first behind victim\.stem"):
        add_fp16(path, frames=make_frames())
    assert Bundle.open(path).manifest == before


def test_too_far_from_fp32_leaves_the_bundle_as_it_was(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    before = Bundle.open(path).manifest
    with pytest.raises(ArtifactError, match=r"expected FP16 close to FP32, got 48 clean frames .* nothing was added"):
        add_fp16(path, frames=make_frames(), parity=ParityConfig(tolerance=1e-7))
    assert Bundle.open(path).manifest == before


@pytest.mark.parametrize(
    ("frames", "attacked", "said"),
    [
        ({"n": 48, "size_px": (32, 32)}, None, "expected frames of 16x16 px, got random/test of 32x32"),
        ({"n": 48}, (32, 32), "expected frames of 16x16 px, got attacked frames of 32x32"),
        ({"n": 8}, None, "at least 40 frames"),
    ],
    ids=["size", "size of the attacked", "too few"],
)
def test_frames_that_do_not_fit_are_refused(
    copy_of: Callable[[], Path], frames: dict[str, object], attacked: tuple[int, int] | None, said: str
) -> None:
    given = None
    if attacked is not None:
        given = ProbeFrames(kind="attacked", frames_NHWC=make_frames(40, attacked).images_NHWC, settings={})
    with pytest.raises(ConfigError, match=said):
        add_fp16(copy_of(), frames=make_frames(**frames), attacked=given)  # type: ignore[arg-type]


def test_a_bundle_that_another_writes_to_or_without_fp32_is_refused(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    with locked(path), pytest.raises(ArtifactError, match="nobody else is writing"):
        add_fp16(path, frames=make_frames())
    bundle = Bundle.open(path)
    record = bundle.manifest.artifacts[FP32_ARTIFACT].model_copy(update={"precision": "int8"})
    manifest = bundle.manifest.model_copy(update={"artifacts": {"model.int8.onnx": record}})
    write_bundle(path, manifest, {"model.int8.onnx": bundle.read_artifact()}, overwrite=True)
    with pytest.raises(CapganError, match="expected a graph in fp32, this bundle has int8"):
        add_fp16(path, frames=make_frames())
