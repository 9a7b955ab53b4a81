"""A bundle is written only when the graph equals torch; what contradicts is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim
from torch import Tensor, nn

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.models.victims import victim_from_module
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.parity import ParityConfig


class TwoFaced(nn.Module):
    """Gives other logits while it is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, len(LABELS))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.head(x_BCHW.mean(dim=(2, 3)))
        return logits + 1 if torch.compiler.is_exporting() else logits


def test_the_manifest_tells_what_was_exported(whole_bundle: Bundle) -> None:
    manifest = whole_bundle.manifest
    assert manifest.labels == LABELS
    assert (manifest.purifier.name, manifest.purifier.preset, manifest.victim.name) == ("tiny-run", "custom", "tiny")
    assert manifest.purifier.config["norm"] == "batch"
    assert manifest.purifier.macs > 0
    assert manifest.victim.parameters == sum(p.numel() for p in make_victim().torch_module().parameters())
    assert {"torch", "onnx", "onnxruntime"} <= manifest.tools.keys()
    digest = manifest.files["model.fp32.onnx"].sha256
    assert [(r.frames, r.passed, r.n, r.settings["artifact_sha256"]) for r in manifest.parity] == [
        ("clean", True, 48, digest),
        ("attacked", True, 48, digest),
    ]
    assert str(Path.cwd()) not in json.dumps(manifest.model_dump(mode="json"))


def test_failing_parity_writes_no_bundle(tmp_path: Path) -> None:
    victim = victim_from_module(TwoFaced(), {"kind": "factory", "name": "two-faced"}, size_px=SIZE_PX)
    with pytest.raises(ArtifactError, match=r"no bundle was written") as caught:
        export_pair(make_purifier(), victim, labels=LABELS, size_px=SIZE_PX, frames=make_frames(), out=tmp_path / "b")
    assert "top-1 agrees on 100.0 %" in str(caught.value), "a constant shift changes no label, and still is no parity"
    assert list(tmp_path.iterdir()) == []


def test_labels_sizes_and_frames_must_fit(tmp_path: Path) -> None:
    purifier, victim = make_purifier(), make_victim()

    def export(**changes: object) -> None:
        settings = {"labels": LABELS, "size_px": SIZE_PX, "frames": make_frames(), "out": tmp_path / "b"} | changes
        export_pair(purifier, victim, **settings)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="5 classes, got 4"):
        export(labels=LABELS[:4])
    with pytest.raises(ConfigError, match="got 'yield' where it has 'stop'"):
        export(labels=(LABELS[1], LABELS[0], *LABELS[2:]))
    with pytest.raises(ConfigError, match="victim's size, 16x16 px, got 32x32"):
        export(size_px=(32, 32))
    with pytest.raises(ConfigError, match="expected frames of 16x16 px"):
        export(frames=make_frames(48, (32, 32)))
    assert list(tmp_path.iterdir()) == []


def test_too_few_frames_write_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 40 frames"):
        export_pair(make_purifier(), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(10),
                    out=tmp_path / "b")  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_not_replaced_unasked(whole_bundle: Bundle) -> None:
    before = whole_bundle.read_artifact()
    with pytest.raises(ArtifactError, match="--force"):
        export_pair(make_purifier(), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(),
                    out=whole_bundle.path)  # fmt: skip
    assert Bundle.open(whole_bundle.path).read_artifact() == before


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "bad",
    [
        {"tolerance": -1.0},
        {"tolerance": INF},
        {"tolerance": NAN},
        {"suspicion_tolerance": INF},
        {"batches": ()},
        {"num_frames": 3},
    ],
    ids=str,
)
def test_a_parity_setting_out_of_range_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(CapganError):
        ParityConfig(**bad)  # type: ignore[arg-type]
