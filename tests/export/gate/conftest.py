"""A real bundle with an FP32 and an INT8 graph, small gates, and the set of its twin: made once a session."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gate_bundle import INT8, PARTS, Verify, add_graph, int8_from_fp32
from made_once import exported_signs

from capgan_edge.cli import main
from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import ARTIFACT
from capgan_export.gate.frames import GateSet
from capgan_export.gate.gates_file import load_gates
from capgan_export.gate.stored import bytes_from_set
from capgan_export.gate.twin import find_twin, set_from_twin

GATES = """
num_frames = 64
[[attacks]]
method = "fgsm"
on = "f"
num_frames = 48
[[attacks]]
method = "pgd"
on = "f(T(.))"
steps = 3
num_frames = 32
"""


@pytest.fixture(scope="session")
def signs_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """signs-nano in FP32 and INT8; tests only read it."""
    bundle = exported_signs(tmp_path_factory)
    frames_NHWC = load_signs("test", size_px=32, n=48).images_NHWC
    int8 = int8_from_fp32(bundle.read_file(ARTIFACT), frames_NHWC, tmp_path_factory.mktemp("gate"))
    return add_graph(bundle.path, INT8, int8, "int8")


@pytest.fixture
def own_bundle(signs_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy to write to."""
    return Path(shutil.copytree(signs_bundle.path, tmp_path / "own"))


@pytest.fixture(scope="session")
def gates_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gates") / "small.toml"
    path.write_text(GATES)
    return path


@pytest.fixture(scope="session")
def gate_set(signs_bundle: Bundle, gates_file: Path) -> GateSet:
    """The set of the small gates, made from the twin."""
    manifest = signs_bundle.manifest
    source = find_twin(manifest)
    assert source is not None
    images = load_signs("test", size_px=32, n=96)
    return set_from_twin(source, images, manifest, load_gates(gates_file).gates, lambda title, n: None)


@pytest.fixture
def set_file(gate_set: GateSet, tmp_path: Path) -> Path:
    path = tmp_path / "attacked.npz"
    path.write_bytes(bytes_from_set(gate_set))
    return path


@pytest.fixture
def verify(gates_file: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the command with the small gates, and return its exit code and what it says to machines."""

    def run(bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
        code = main(["verify", str(bundle), "--gates", str(gates_file), "--json", *options], PARTS)
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, said

    return run
