"""`capgan-edge doctor` tells the truth of this machine, and of one on which everything heavy is missing or broken."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from rich.console import Console

from capgan_edge.cli import GROUP, main
from capgan_edge.doctor.examination import check_cache, examine
from capgan_edge.doctor.facts import Cache, Cpu, JetPack, Library, Report
from capgan_edge.doctor.isolated import ProbeError, ask
from capgan_edge.doctor.printing import print_report
from capgan_edge.runtime.gpu import first_gpu

PARTS = [EntryPoint("doctor", "capgan_edge.doctor.command:app", GROUP)]
HEAVY = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "PIL", "tensorrt", "tensorrt_rtx", "pycuda",
         "safetensors", "lightning_fabric")  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return examine()


def works(report: Report, name: str) -> bool:
    return next(ability.works for ability in report.abilities if ability.name == name)


def test_the_providers_are_those_that_really_make_a_session(report: Report) -> None:
    offered = set(onnxruntime.get_available_providers()) - {"AzureExecutionProvider"}
    assert {provider.name for provider in report.providers} == offered
    assert [provider.works for provider in report.providers if provider.name == "CPUExecutionProvider"] == [True]
    assert works(report, "run on the CPU")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="needs a CPU onnxruntime")
def test_a_provider_that_another_one_stands_in_for_does_not_work() -> None:
    with pytest.raises(ProbeError, match="CPUExecutionProvider was used"):
        ask("provider", "CUDAExecutionProvider", timeout_s=60)


def test_openvino_is_told_as_it_runs_a_graph(report: Report) -> None:
    openvino = pytest.importorskip("openvino", reason="needs openvino: pip install 'capgan-edge[openvino]'")
    assert report.library("openvino").problem is None
    assert openvino.__version__.startswith(str(report.library("openvino").version))
    assert works(report, "run in OpenVINO")


def test_libraries_are_told_as_they_are_installed(report: Report) -> None:
    assert report.library("torch").version == metadata.version("torch")
    assert report.library("torch").problem is None
    assert works(report, "train, export, calibrate")


@pytest.mark.skipif(first_gpu() is not None, reason="needs a machine without a GPU")
def test_a_machine_without_a_gpu_is_told_so(report: Report) -> None:
    assert report.gpu is None
    assert not works(report, "run on CUDA")
    assert not works(report, "run TensorRT engines")
    assert report.library("pycuda").problem is not None


def test_tensorrt_rtx_builds_without_a_gpu(report: Report) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")
    (found,) = [flavour for flavour in report.tensorrt if flavour.flavour == "tensorrt_rtx"]
    assert (found.version, found.can_build, found.problem) == (rtx.__version__, True, None)
    assert found.targets is not None
    assert "sm_86" in found.targets
    assert works(report, "build TensorRT engines")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the doctor where every heavy library is a stub of this code, and return its exit code and what it printed."""

    def run(code: str, *arguments: str) -> tuple[int, str]:
        for name in HEAVY:
            (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        exit_code = main(["doctor", *arguments], PARTS)
        out, err = capsys.readouterr()
        assert err == ""
        return exit_code, out

    return run


STUBS = {
    "is missing": "raise ModuleNotFoundError('not here', name=__name__)",
    "crashes": "import os; os.abort()",
    "hangs": "import time; time.sleep(600)",
}


@pytest.mark.parametrize("stub", STUBS)
def test_the_doctor_still_runs_where_every_library(stub: str, said: Callable[..., tuple[int, str]]) -> None:
    exit_code, out = said(STUBS[stub], "--json", *(["--timeout-s", "1"] if stub == "hangs" else []))
    assert exit_code == 0
    found = json.loads(out)
    assert found["cpu"]["name"]
    assert found["providers"] == []
    missing = {ability["name"] for ability in found["abilities"] if not ability["works"]}
    assert missing >= {"run on the CPU", "build TensorRT engines", "train, export, calibrate"}
    assert all(ability["remedy"] for ability in found["abilities"] if not ability["works"])


def test_people_get_a_line_for_every_ability(said: Callable[..., tuple[int, str]]) -> None:
    exit_code, out = said("raise ImportError('a stub')")
    assert exit_code == 0
    lines = out.splitlines()
    (cpu,) = [line for line in lines if line.startswith("missing  run on the CPU: ")]
    assert cpu == "missing  run on the CPU: onnxruntime: a stub; pip install 'capgan-edge[cpu]'"
    assert sum(line.startswith(("works", "missing")) for line in lines) == 8


def test_people_are_told_of_pycuda_and_jetpack_also_where_there_is_neither() -> None:
    def told(jetpack: JetPack | None, pycuda: Library) -> dict[str, str]:
        whole = replace(examined, jetpack=jetpack, libraries=(pycuda,))
        console = Console(file=io.StringIO(), width=200)
        print_report(whole, console)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines if line[:1] not in ("", " ")}

    examined = Report(
        capgan_edge="1", python="3.11", platform="Linux", gpu=None, jetpack=None, tensorrt=(), providers=(),
        cpu=Cpu(name="a CPU", machine="x86_64", num_logical=2, features={}, memory_total_bytes=None,
                memory_available_bytes=None),
        libraries=(), cache=Cache(path="/cache", is_writable=True, problem=None), problems=(),
    )  # fmt: skip
    lacking = told(None, Library(name="pycuda", version=None, problem="it is not installed"))
    assert (lacking["JetPack"], lacking["libraries"]) == ("none found", "pycuda (not installed)")
    broken = told(JetPack(l4t="36.4.3", jetpack="6.1 or 6.2"), Library(name="pycuda", version="2025.1", problem="no"))
    assert (broken["JetPack"], broken["libraries"]) == ("6.1 or 6.2 (L4T 36.4.3)", "pycuda 2025.1 (does not work)")
    assert told(None, Library(name="pycuda", version="2025.1", problem=None))["libraries"] == "pycuda 2025.1"


def test_the_doctor_starts_where_nothing_heavy_can_be_imported() -> None:
    code = f"""
import sys
for name in {HEAVY}: sys.modules[name] = None
import capgan_edge.doctor.examination, capgan_edge.doctor.printing, capgan_edge.doctor.probes
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "new/cache"))
    assert check_cache().is_writable
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "file"))
    found = check_cache()
    assert not found.is_writable
    assert found.problem is not None
    assert str(tmp_path / "file") in found.problem


def test_what_nvidia_smi_says_is_taken_where_the_driver_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA RTX A2000, 8.6, 580.65, 6138, [N/A]'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("raise ImportError('a stub')")
    monkeypatch.syspath_prepend(str(tmp_path))
    gpu = examine().gpu
    assert gpu is not None
    assert "nvidia-smi" in gpu.seen_by
    assert (gpu.driver, gpu.memory_total_mib, gpu.memory_free_mib) == ("580.65", 6138, None)
    assert gpu.is_usable == (first_gpu() is not None)
