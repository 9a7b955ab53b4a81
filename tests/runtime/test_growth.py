"""Adding to a bundle: one writer at a time, all of it or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord, EngineRecord


def test_a_new_graph_joins_the_old_one(bundle_path: Path) -> None:
    with locked(bundle_path) as bundle:
        graph = bundle.read_artifact("fp32")
        artifacts = {**bundle.manifest.artifacts, "model.fp16.onnx": ArtifactRecord(precision="fp16", opset=20)}
        grow_bundle(bundle, bundle.manifest.model_copy(update={"artifacts": artifacts}), {"model.fp16.onnx": graph})
    assert Bundle.open(bundle_path).precisions == ("fp32", "fp16")
    assert Bundle.open(bundle_path).read_artifact("fp16") == graph


def test_a_second_writer_is_refused_while_the_first_is_at_it(bundle_path: Path) -> None:
    code = f"from capgan_edge.runtime.growth import locked\nwith locked({str(bundle_path)!r}): pass"
    with locked(bundle_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "nobody else is writing" in second.stderr
    assert second.returncode == 1
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_does_not_verify_changes_nothing(bundle_path: Path) -> None:
    before = (bundle_path / "manifest.json").read_bytes()
    engine = EngineRecord(precision="fp16", sidecar="engines/x.json", source_sha256="a" * 64,
                          flavour="tensorrt_rtx", version="1", targets=("sm_86",))  # fmt: skip
    with locked(bundle_path) as bundle, pytest.raises(ArtifactError, match=r"engine's file engines/x\.plan"):
        grow_bundle(bundle, bundle.manifest.model_copy(update={"engines": {"engines/x.plan": engine}}), {})
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in bundle_path.parent.iterdir()) == ["bundle"]
