"""The packaged signs as a bundle in three precisions, made once a session; copies of it to build engines in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_once import exported_signs
from quantised import int8_from_fp32

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord
from capgan_export.engine.door import Door, open_door

Copy = Callable[[], Path]


@pytest.fixture(scope="session")
def door() -> Door:
    """The real TensorRT-RTX."""
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")
    return open_door("tensorrt_rtx")


@pytest.fixture(scope="session")
def fp32_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """signs-nano as `capgan-edge export` writes it."""
    return exported_signs(tmp_path_factory)


@pytest.fixture(scope="session")
def full_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same with an FP16 and an INT8 graph, as the precision passes make them, without their measurements."""
    from capgan_export.precision.fp16 import fp16_from_fp32

    path = Path(shutil.copytree(fp32_bundle.path, tmp_path_factory.mktemp("engines") / "full"))
    with locked(path) as bundle:
        fp32 = bundle.read_artifact("fp32")
        files = {"model.int8.onnx": int8_from_fp32(fp32), "model.fp16.onnx": fp16_from_fp32(fp32).model_bytes}
        records = {
            "model.fp16.onnx": ArtifactRecord(precision="fp16", opset=20),
            "model.int8.onnx": ArtifactRecord(precision="int8", opset=20),
        }
        artifacts = {**bundle.manifest.artifacts, **records}
        return grow_bundle(bundle, bundle.manifest.model_copy(update={"artifacts": artifacts}), files)


@pytest.fixture
def copy_of_fp32(fp32_bundle: Bundle, tmp_path: Path) -> Copy:
    return lambda: Path(shutil.copytree(fp32_bundle.path, tmp_path / "bundle"))


@pytest.fixture
def copy_of_full(full_bundle: Bundle, tmp_path: Path) -> Copy:
    return lambda: Path(shutil.copytree(full_bundle.path, tmp_path / "bundle"))
