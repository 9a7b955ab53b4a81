"""The packaged pair as a bundle, its attacker, and bundles that tests may change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_once import exported_signs
from PIL import Image
from small_graph import LABELS, SIZE_PX, small_bytes

from capgan_calibration.attacker import AttackConfig, Attacker
from capgan_edge.files import sha256_of_bytes
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import (
    ArtifactRecord,
    InputContract,
    Manifest,
    OutputSpec,
    PurifierIdentity,
    VictimIdentity,
)
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair
from capgan_export.source import Source, find_source


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def signs_source() -> Source:
    return find_source("signs-nano")


@pytest.fixture(scope="session")
def signs_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """signs-nano, trained; the classifier runs on the raw frames too."""
    return exported_signs(tmp_path_factory, GraphOutputs(has_purified=True, has_raw_logits=True))


@pytest.fixture(scope="session")
def paper_bytes() -> bytes:
    """A small graph of the paper's kind: instance norms, AdaLIN, reflect padding, 7x7 ends; random weights."""
    torch.manual_seed(0)
    purifier = Purifier(PurifierConfig(ngf=4, num_blocks=1, attention="gap+gmp")).eval().requires_grad_(False)
    module = SimpleResNet(len(LABELS), units_per_stage=1).eval().requires_grad_(False)
    victim = victim_from_module(module, {"kind": "simple-resnet", "name": "tiny"}, size_px=(16, 16), labels=LABELS)
    return graph_from_pair(purifier, victim, size_px=(16, 16), outputs=GraphOutputs(has_purified=True), properties={})


@pytest.fixture(scope="session")
def attacker(signs_source: Source) -> Attacker:
    return Attacker(signs_source, AttackConfig(steps=2))


def small_manifest() -> Manifest:
    return Manifest(
        created="2025-01-01", labels=LABELS, input=InputContract(height=SIZE_PX[0], width=SIZE_PX[1]),
        outputs=(OutputSpec(name="logits", dtype="float32", shape=("N", len(LABELS))),
                 OutputSpec(name="suspicion", dtype="float32", shape=("N",))),
        artifacts={"model.fp32.onnx": ArtifactRecord(precision="fp32", opset=20)},
        purifier=PurifierIdentity(name="small", preset="custom", sha256=sha256_of_bytes(b"T"), config={}, macs=0,
                                  parameters=0),
        victim=VictimIdentity(name="small", sha256=sha256_of_bytes(b"f")), tools={},
    )  # fmt: skip


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """A bundle of the small graph."""
    write_bundle(tmp_path / "bundle", small_manifest(), {"model.fp32.onnx": small_bytes()})
    return tmp_path / "bundle"


@pytest.fixture
def signs_copy(signs_bundle: Bundle, tmp_path: Path) -> Callable[[], Path]:
    def copy() -> Path:
        return Path(shutil.copytree(signs_bundle.path, tmp_path / "signs"))

    return copy


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Loose images without labels."""
    folder = tmp_path / "camera"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(80):
        Image.fromarray(rng.integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8)).save(folder / f"{index:03}.png")
    return folder
