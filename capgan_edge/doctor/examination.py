"""Look at this machine: files in this process, libraries each in one of its own, several at a time."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import capgan_edge
from capgan_edge.data.cache import cache_root
from capgan_edge.doctor.abilities import judge
from capgan_edge.doctor.facts import Cache, Gpu, Library, Provider, Report, TensorRt
from capgan_edge.doctor.isolated import ProbeError, ask, run
from capgan_edge.doctor.machine import SYSTEM, read_cpu, read_driver, read_jetpack

T = TypeVar("T")
_LIBRARIES: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "PIL": ("pillow",),
    "onnx": ("onnx",),
    "onnxscript": ("onnxscript",),
    "torch": ("torch",),
    "safetensors": ("safetensors",),
    "lightning_fabric": ("lightning-fabric",),
}
"""Modules that are imported, and the packages that bring them."""
_PROBES = {"openvino": ("openvino",)}
"""Of those that are made to run a graph instead."""
_FLAVOURS: dict[str, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}
_REMOTE = "AzureExecutionProvider"
"""Calls a web service and never runs a graph here."""
_AT_ONCE = 4
_SMI_FIELDS = ("name", "compute_cap", "driver_version", "memory.total", "memory.free")


def examine(*, timeout_s: float = 60.0, root: Path = SYSTEM) -> Report:
    """Return what this machine is and can do; never raises for what is missing or broken.

    Args:
        timeout_s: for each probe.
        root: where `/proc`, `/etc` and so on are.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        visit = _Visit(pool, timeout_s)
        libraries = {name: visit.later(*_PROBES.get(name, ("imports", name)))
                     for name in _LIBRARIES if _version(_LIBRARIES[name])}  # fmt: skip
        flavours = {name: visit.later("tensorrt", name) for name in _FLAVOURS}
        gpu, pycuda = visit.later("gpu"), visit.later("pycuda")
        smi = pool.submit(_nvidia_smi, timeout_s)
        offered = [name for name in visit.answer(visit.later("providers"), []) if name != _REMOTE]
        providers = {name: visit.later("provider", name) for name in offered}
        report = Report(
            capgan_edge=capgan_edge.__version__,
            python=platform.python_version(),
            platform=platform.platform(),
            cpu=read_cpu(root),
            gpu=_gpu(visit.answer(gpu, None, told=True), smi.result(), root),
            jetpack=read_jetpack(root),
            tensorrt=tuple(_flavour(name, future) for name, future in flavours.items()),
            providers=tuple(_provider(name, future) for name, future in providers.items()),
            libraries=(*(_library(name, packages, libraries.get(name)) for name, packages in _LIBRARIES.items()),
                       _library("pycuda", ("pycuda",), pycuda)),
            cache=check_cache(),
            problems=tuple(visit.problems),
        )  # fmt: skip
    return replace(report, abilities=judge(report))


class _Visit:
    """Probes under way, and those that did not come to an end."""

    def __init__(self, pool: ThreadPoolExecutor, timeout_s: float) -> None:
        self.problems: list[str] = []
        self._pool, self._timeout_s = pool, timeout_s

    def later(self, probe: str, *arguments: str) -> Future[Any]:
        return self._pool.submit(ask, probe, *arguments, timeout_s=self._timeout_s)

    def answer(self, future: Future[Any], otherwise: T, *, told: bool = False) -> Any | T:
        """Return the answer, or `otherwise`; what went wrong is `told` among the report's problems."""
        value, problem = _settled(future)
        if problem is None:
            return value
        if told:
            self.problems.append(problem)
        return otherwise


def _settled(future: Future[Any]) -> tuple[Any, str | None]:
    try:
        return future.result(), None
    except ProbeError as error:
        return None, str(error)


def _library(name: str, packages: tuple[str, ...], future: Future[Any] | None) -> Library:
    version = _version(packages)
    if version is None or future is None:
        return Library(name=name, version=None, problem="it is not installed")
    return Library(name=name, version=version, problem=_settled(future)[1])


def _flavour(name: str, future: Future[Any]) -> TensorRt:
    found, problem = _settled(future)
    facts: Mapping[str, Any] = found or {"version": _version(_FLAVOURS[name]), "can_build": False, "targets": None}
    targets = None if facts["targets"] is None else tuple(facts["targets"])
    return TensorRt(flavour=name, version=facts["version"], is_loadable=found is not None,
                    can_build=facts["can_build"], targets=targets, problem=problem)  # fmt: skip


def _provider(name: str, future: Future[Any]) -> Provider:
    problem = _settled(future)[1]
    return Provider(name=name, works=problem is None, problem=problem)


def _nvidia_smi(timeout_s: float) -> list[str] | None:
    """Return name, compute capability, driver, and memory in MiB as nvidia-smi tells them; None where it does not."""
    fields = ",".join(_SMI_FIELDS)
    try:
        said = run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"], timeout_s=timeout_s)
    except ProbeError:
        return None  # not there, or without a GPU: the other sources tell
    values = [value.strip() for value in said.partition("\n")[0].split(",")]
    return values if len(values) == len(_SMI_FIELDS) else None


def _gpu(driver: Mapping[str, Any] | None, smi: list[str] | None, root: Path) -> Gpu | None:
    """Put together what the driver's library, nvidia-smi and the kernel's files tell of the first GPU."""
    name, version = read_driver(root)
    if driver is None and smi is None and name is None:
        return None
    told = dict(zip(_SMI_FIELDS, smi or [""] * len(_SMI_FIELDS), strict=True))
    sources = {"driver library": driver, "nvidia-smi": smi, "kernel": name}
    capability = told["compute_cap"].replace(".", "")
    return Gpu(
        name=str(driver["name"]) if driver else told["name"] or name or "unknown GPU",
        sm=str(driver["sm"]) if driver else f"sm_{capability}" if capability.isdecimal() else None,
        driver=told["driver_version"] or version,
        cuda=driver["cuda"] if driver else None,
        memory_total_mib=_count(told["memory.total"]),
        memory_free_mib=_count(told["memory.free"]),
        seen_by=tuple(source for source, found in sources.items() if found is not None),
        is_usable=driver is not None,
    )


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None  # nvidia-smi says `[N/A]` where memory is shared


def check_cache() -> Cache:
    """Say whether decoded images can be kept: a file without a name is made where their folder is, or would be."""
    try:
        root = cache_root()
    except RuntimeError as error:  # a user without a home folder
        return Cache(path="", is_writable=False, problem=" ".join(str(error).split()))
    try:
        place = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=place):
            return Cache(path=str(root), is_writable=True, problem=None)
    except OSError as error:
        return Cache(path=str(root), is_writable=False, problem=f"{root}: {error.strerror or error}")


def _version(packages: tuple[str, ...]) -> str | None:
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None
