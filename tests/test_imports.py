"""What is imported when: the package and its command line need nothing heavy until something heavy is asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import capgan_edge

HEAVY = ("torch", "onnx", "onnxscript", "onnxruntime", "PIL", "tensorrt", "tensorrt_rtx", "cv2", "matplotlib",
         "lightning_fabric", "safetensors", "pycuda", "prometheus_client")  # fmt: skip
PARTS = ("capgan_edge.runtime.command", "capgan_edge.training.command", "capgan_export.command",
         "capgan_calibration.command", "capgan_export.engine.engine_command", "capgan_edge.doctor.command",
         "capgan_benchmarks.command", "capgan_edge.runtime.stream.command", "capgan_edge.runtime.serve.command",
         "capgan_export.triton.command", "capgan_benchmarks.benchmark_command",
         "capgan_benchmarks.robustness.attack_command")  # fmt: skip
"""The modules that bring commands, as pyproject.toml names them."""


def _run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module",
    ["capgan_edge", "capgan_edge.cli", "capgan_edge.runtime.loading", *PARTS],
)
def test_imports_need_no_heavy_dependency(module: str) -> None:
    _run(f"import sys\nfor name in {HEAVY}: sys.modules[name] = None\nimport {module}")


def test_the_parts_are_those_that_the_package_names() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    table = project.partition('[project.entry-points."capgan_edge.commands"]\n')[2].partition("\n\n")[0]
    assert set(re.findall(r'= "([\w.]+):app"', table)) == set(PARTS)


def test_no_command_is_missing_where_nothing_heavy_is_installed() -> None:
    code = f"""
import sys
for name in {HEAVY}: sys.modules[name] = None
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
sys.exit(main(["--help"], [EntryPoint(name, name + ":app", GROUP) for name in {PARTS}]))
"""
    said = _run(code)
    assert "Not available" not in said
    for command in ("train", "export", "verify", "inspect", "classify", "demo", "calibrate", "build-engine", "doctor",
                    "benchmark", "attack", "run", "serve", "export-triton"):  # fmt: skip
        assert command in said


def test_the_package_itself_imports_next_to_nothing() -> None:
    third_party = ("numpy", "pydantic", "typer", "rich", *HEAVY)
    assert _run(f"import sys, capgan_edge\nprint([n for n in {third_party} if n in sys.modules])") == "[]\n"


def test_the_runtime_commands_show_their_help_where_nothing_heavy_is_installed() -> None:
    code = f"""
import sys
for name in {HEAVY}: sys.modules[name] = None
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
part = EntryPoint("runtime", "capgan_edge.runtime.command:app", GROUP)
sys.exit(main(["classify", "--help"], [part]))
"""
    assert "Purify and classify images" in _run(code)


def test_a_missing_onnxruntime_names_the_extra_that_brings_it() -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
from capgan_edge.errors import MissingDependencyError
from capgan_edge.runtime.ort import OrtRunner
try:
    OrtRunner(b"")
except MissingDependencyError as error:
    print(error)
"""
    assert "pip install 'capgan-edge[cpu]'" in _run(code)


def test_public_names_load_when_asked_for() -> None:
    assert capgan_edge.Classifier.__name__ == "Classifier"
    assert capgan_edge.Verdict.__name__ == "Verdict"
    assert capgan_edge.Bundle.__name__ == "Bundle"
    assert capgan_edge.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        capgan_edge.nothing  # noqa: B018
