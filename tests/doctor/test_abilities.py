"""What works, and how to get the rest, follows from what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capgan_edge.doctor.abilities import judge
from capgan_edge.doctor.facts import Ability, Cache, Cpu, Gpu, JetPack, Library, Provider, Report, TensorRt

LIBRARIES = (
    "onnxruntime",
    "openvino",
    "PIL",
    "onnx",
    "onnxscript",
    "torch",
    "safetensors",
    "lightning_fabric",
    "pycuda",
)
GPU = Gpu(name="RTX A2000", sm="sm_86", driver="580.1", cuda="13.0", memory_total_mib=6000, memory_free_mib=5000,
          seen_by=("driver library",), is_usable=True)  # fmt: skip
RTX = TensorRt(flavour="tensorrt_rtx", version="1.7.1", is_loadable=True, can_build=True,
               targets=("sm_86", "sm_89"), problem=None)  # fmt: skip
WHOLE = Report(
    capgan_edge="1", python="3.11", platform="Linux",
    cpu=Cpu(name="a CPU", machine="x86_64", num_logical=2, features={"avx2": True, "amx_int8": False},
            memory_total_bytes=None, memory_available_bytes=None),
    gpu=GPU, jetpack=None, tensorrt=(RTX,),
    providers=tuple(Provider(name=f"{name}ExecutionProvider", works=True, problem=None) for name in ("CUDA", "CPU")),
    libraries=tuple(Library(name=name, version="1.0", problem=None) for name in LIBRARIES),
    cache=Cache(path="/cache", is_writable=True, problem=None), problems=(),
)  # fmt: skip


def ability(name: str, **changes: Any) -> Ability:
    return next(found for found in judge(replace(WHOLE, **changes)) if found.name == name)


def libraries(**problems: str) -> tuple[Library, ...]:
    return tuple(replace(library, problem=problems.get(library.name)) for library in WHOLE.libraries)


def test_a_whole_machine_can_do_everything_and_needs_no_remedy() -> None:
    assert [found for found in judge(WHOLE) if not found.works or found.remedy is not None] == []
    assert ability("run on the CPU").detail == "onnxruntime 1.0; instructions: avx2"
    assert "without BF16" in ability("run in OpenVINO").detail
    with_bf16 = replace(WHOLE.cpu, features={"avx512_bf16": True})
    assert "with BF16" in ability("run in OpenVINO", cpu=with_bf16).detail


CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no gpu": ("run TensorRT engines", {"gpu": None}, "no NVIDIA GPU", "its driver"),
    "no gpu for cuda": ("run on CUDA", {"gpu": None, "providers": ()}, "no NVIDIA GPU", "its driver"),
    "gpu without access": ("run TensorRT engines", {"gpu": replace(GPU, is_usable=False)},
                           "to no program", "container"),
    "gpu of another architecture": ("run TensorRT engines", {"gpu": replace(GPU, sm="sm_90")},
                                    "tensorrt_rtx runs on sm_86, sm_89, and RTX A2000 is sm_90", "capgan-edge[gpu]"),
    "no pycuda": ("run TensorRT engines", {"libraries": libraries(pycuda="it is not installed")},
                  "pycuda: it is not installed", "CUDA toolkit"),
    "no tensorrt": ("build TensorRT engines", {"tensorrt": ()}, "no TensorRT is installed", "capgan-edge[rtx]"),
    "no tensorrt on a jetson": ("run TensorRT engines", {"tensorrt": (), "jetpack": JetPack(l4t="35.4", jetpack="5")},
                                "no TensorRT is installed", "JetPack 6.1"),
    "an old tensorrt": ("build TensorRT engines",
                        {"tensorrt": (replace(RTX, is_loadable=False, can_build=False, problem="too old"),)},
                        "tensorrt_rtx 1.7.1: too old", "capgan-edge[rtx]"),
    "onnxruntime without cuda": ("run on CUDA", {"providers": WHOLE.providers[1:]}, "offers no CUDA", "uninstall"),
    "cuda that does not load": ("run on CUDA",
                                {"providers": (replace(WHOLE.providers[0], works=False, problem="no cudnn"),)},
                                "no cudnn", "cuDNN"),
    "no onnxruntime": ("run on the CPU", {"providers": (), "libraries": libraries(onnxruntime="it is not installed")},
                       "onnxruntime: it is not installed", "capgan-edge[cpu]"),
    "no openvino": ("run in OpenVINO", {"libraries": libraries(openvino="it is not installed")},
                    "openvino: it is not installed", "capgan-edge[openvino]"),
    "broken torch": ("train, export, calibrate", {"libraries": libraries(torch="libtorch.so", onnx="gone")},
                     "torch: libtorch.so; onnx: gone", "capgan-edge[cpu,train]"),
    "no pillow": ("classify image files", {"libraries": libraries(PIL="gone")}, "PIL: gone", "capgan-edge[cpu]"),
    "no cache": ("keep decoded images", {"cache": Cache(path="/x", is_writable=False, problem="/x: read-only")},
                 "/x: read-only", "CAPGAN_EDGE_CACHE"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_named_with_the_way_to_get_it(case: str) -> None:
    name, changes, detail, remedy = CASES[case]
    found = ability(name, **changes)
    assert not found.works
    assert detail in found.detail
    assert remedy in (found.remedy or "")


def test_one_flavour_that_fits_is_enough() -> None:
    full = TensorRt(flavour="tensorrt", version="10.3", is_loadable=True, can_build=False, targets=None, problem=None)
    found = ability("run TensorRT engines", gpu=replace(GPU, sm="sm_90"), tensorrt=(full, RTX))
    assert (found.works, found.detail) == (True, "tensorrt 10.3")
