"""From what was found to what works here: one line each, and how to get the rest."""

from __future__ import annotations

from collections.abc import Iterable

from capgan_edge.data.cache import CACHE_VARIABLE
from capgan_edge.doctor.facts import Ability, Library, Report

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_NO_GPU = "needs an NVIDIA GPU and its driver"
_JETSON = "on a Jetson, TensorRT comes with JetPack 6.1 or newer"
_TO_TRAIN = ("torch", "onnx", "onnxscript", "safetensors", "lightning_fabric", "onnxruntime")


def judge(report: Report) -> tuple[Ability, ...]:
    """Return every ability of capgan-edge, with what it has here or lacks."""
    return (
        _run_on_cpu(report),
        _run_in_openvino(report),
        _run_on_cuda(report),
        _build_engines(report),
        _run_engines(report),
        _from_libraries(report, "classify image files", ("PIL",), "cpu"),
        _from_libraries(report, "train, export, calibrate", _TO_TRAIN, "cpu,train"),
        _keep_decoded_images(report),
    )


def _works(name: str, detail: str) -> Ability:
    return Ability(name=name, works=True, detail=detail, remedy=None)


def _lacks(name: str, detail: str, remedy: str) -> Ability:
    return Ability(name=name, works=False, detail=detail, remedy=remedy)


def _install(extra: str) -> str:
    return f"pip install 'capgan-edge[{extra}]'"


def _run_on_cpu(report: Report) -> Ability:
    name = "run on the CPU"
    runtime = report.library("onnxruntime")
    provider = next((provider for provider in report.providers if provider.name == _CPU), None)
    if provider is not None and provider.works:
        fast = [feature for feature, has_it in report.cpu.features.items() if has_it]
        return _works(name, f"onnxruntime {runtime.version}; instructions: {', '.join(fast) or 'none that matter'}")
    problem = provider.problem if provider is not None else runtime.problem
    return _lacks(name, f"onnxruntime: {problem or 'it offers no CPU provider'}", _install("cpu"))


def _run_in_openvino(report: Report) -> Ability:
    name, library = "run in OpenVINO", report.library("openvino")
    if library.problem is not None:
        return _lacks(name, f"openvino: {library.problem}", _install("openvino"))
    extra = "with" if report.cpu.features.get("avx512_bf16") or report.cpu.features.get("amx_bf16") else "without"
    return _works(name, f"openvino {library.version}, on the CPU, {extra} BF16 (where it is asked for)")


def _run_on_cuda(report: Report) -> Ability:
    name = "run on CUDA"
    provider = next((provider for provider in report.providers if provider.name == _CUDA), None)
    if provider is not None and provider.works:
        return _works(name, f"onnxruntime {report.library('onnxruntime').version}")
    swap = f"pip uninstall onnxruntime, then {_install('gpu')}"
    if report.gpu is None:
        return _lacks(name, "there is no NVIDIA GPU", _NO_GPU)
    if provider is None:
        return _lacks(name, "this onnxruntime offers no CUDA", swap)
    return _lacks(name, f"{_CUDA}: {provider.problem}", "install the CUDA and cuDNN that this onnxruntime names")


def _build_engines(report: Report) -> Ability:
    name = "build TensorRT engines"
    able = [flavour for flavour in report.tensorrt if flavour.can_build]
    if able:
        targets = [", ".join(flavour.targets or ()) or "this GPU" for flavour in able]
        return _works(name, "; ".join(f"{flavour.flavour} {flavour.version} for {for_what}"
                                      for flavour, for_what in zip(able, targets, strict=True)))  # fmt: skip
    return _lacks(name, _why_not_tensorrt(report), _tensorrt_remedy(report))


def _run_engines(report: Report) -> Ability:
    name = "run TensorRT engines"
    gpu, pycuda = report.gpu, report.library("pycuda")
    if gpu is None:
        return _lacks(name, "there is no NVIDIA GPU", _NO_GPU)
    if not gpu.is_usable:
        remedy = "install the driver (in a container: give it the GPU), and check CUDA_VISIBLE_DEVICES"
        return _lacks(name, f"{gpu.name} is there, and its driver gives it to no program here", remedy)
    loadable = [flavour for flavour in report.tensorrt if flavour.is_loadable]
    fit = [flavour for flavour in loadable if flavour.targets is None or gpu.sm in flavour.targets]
    if loadable and not fit:
        targets = ", ".join(loadable[0].targets or ())
        return _lacks(name, f"{loadable[0].flavour} runs on {targets}, and {gpu.name} is {gpu.sm}", _install("gpu"))
    if not fit:
        return _lacks(name, _why_not_tensorrt(report), _tensorrt_remedy(report))
    if pycuda.problem is not None:
        return _lacks(name, f"pycuda: {pycuda.problem}", f"{_install('gpu')} (pycuda is built with the CUDA toolkit)")
    return _works(name, ", ".join(f"{flavour.flavour} {flavour.version}" for flavour in fit))


def _why_not_tensorrt(report: Report) -> str:
    """Return the problem of what is installed; where nothing is, that."""
    broken = [flavour for flavour in report.tensorrt if flavour.version is not None]
    if not broken:
        return "no TensorRT is installed"
    return "; ".join(f"{flavour.flavour} {flavour.version}: {flavour.problem or 'it makes no builder here'}"
                     for flavour in broken)  # fmt: skip


def _tensorrt_remedy(report: Report) -> str:
    return _JETSON if report.jetpack is not None else f"{_install('rtx')} (x86-64), or TensorRT 10 or newer"


def _from_libraries(report: Report, name: str, wanted: Iterable[str], extra: str) -> Ability:
    libraries = [report.library(library) for library in wanted]
    broken = [library for library in libraries if library.problem is not None]
    if broken:
        return _lacks(name, "; ".join(f"{library.name}: {library.problem}" for library in broken), _install(extra))
    return _works(name, ", ".join(_named(library) for library in libraries))


def _named(library: Library) -> str:
    return f"{library.name} {library.version}"


def _keep_decoded_images(report: Report) -> Ability:
    name = "keep decoded images"
    if report.cache.is_writable:
        return _works(name, report.cache.path)
    return _lacks(name, report.cache.problem or "", f"set {CACHE_VARIABLE} to a folder that may be written")
