"""The README's way for one's own images: a zip, two trainings, and the short forms of export, verify and inspect."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from importlib.metadata import EntryPoint
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs import load_signs

PARTS = [
    EntryPoint("train", "capgan_edge.training.command:app", GROUP),
    EntryPoint("runtime", "capgan_edge.runtime.command:app", GROUP),
    EntryPoint("export", "capgan_export.command:app", GROUP),
]
FAST = ["--epochs", "1", "--batch-size", "16", "--precision", "fp32", "--no-mirror"]
GATES = """
num_frames = 32

[[attacks]]
method = "pgd"
on = "f(T(.))"
epsilon = 0.03
steps = 2
num_frames = 32
"""
NUM_CLASSES, NUM_TRAIN, NUM_TEST = 3, 12, 14


def write_zip(path: Path) -> list[str]:
    """Write a zip of a few signs, and return its classes."""
    signs = load_signs("train", size_px=32, n=600)
    classes = sorted(signs.class_names[:NUM_CLASSES])
    with zipfile.ZipFile(path, "w") as archive:
        for name in classes:
            (indices,) = np.nonzero(signs.labels_N == signs.class_names.index(name))
            for k, index in enumerate(indices[: NUM_TRAIN + NUM_TEST]):
                packed = BytesIO()
                Image.fromarray(signs.images_NHWC[index]).save(packed, "PNG")
                archive.writestr(f"{'train' if k < NUM_TRAIN else 'test'}/{name}/{k}.png", packed.getvalue())
    return classes


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command that must succeed, and return its JSON."""

    def run(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*arguments, "--json"], PARTS)
        out, err = capsys.readouterr()
        assert code == 0, err
        value: dict[str, Any] = json.loads(out)
        return value

    return run


def test_a_zip_of_images_becomes_a_bundle_that_verifies_and_classifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "cache"))
    classes = write_zip(tmp_path / "signs.zip")  # called like the signs that are drawn, and it must not become these
    assert main(["train", "victim", "--data", "signs.zip", "-o", "runs/victim", *FAST], PARTS) == 0
    assert main(["train", "purifier", "--data", "signs.zip", *FAST, "--semantic-epochs", "0"], PARTS) == 0
    exported = said("export")
    assert exported["manifest"]["labels"] == classes
    assert exported["source"].startswith("purifier, epoch 1")
    checks = {record["frames"]: record for record in exported["manifest"]["parity"]}
    assert set(checks) == {"clean", "attacked"}
    assert {record["settings"]["data"] for record in checks.values()} == {"signs/test"}
    assert {record["n"] for record in checks.values()} == {NUM_CLASSES * NUM_TEST}
    (tmp_path / "gates.toml").write_text(GATES)
    assert said("verify", "--gates", "gates.toml")["passed"]
    again = said("verify", "--against", "runs/purifier", "--gates", "gates.toml")["checks"]
    assert {check["verdict"] for check in again} == {"passed"}
    assert said("inspect")["manifest"]["purifier"]["preset"] == "nano"
    Image.new("RGB", (50, 40)).save(tmp_path / "frame.png")
    (verdict,) = said("classify", "bundle", "frame.png")["verdicts"]
    assert verdict["label"] in classes
