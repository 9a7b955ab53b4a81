"""From an engine in a bundle to a runner: preflight before a byte is deserialised, nothing is ever built here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.cuda_device import open_device
from capgan_edge.runtime.device_memory import Device
from capgan_edge.runtime.gpu import first_gpu
from capgan_edge.runtime.preflight import Host, preflight
from capgan_edge.runtime.sidecar import EngineSidecar, GpuIdentity, rebuild_command, sidecar_from_json
from capgan_edge.runtime.trt import TrtRunner
from capgan_edge.runtime.trt_engine import TrtEngine, load_flavour


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What opening an engine asks of the machine."""

    find_gpu: Callable[[], GpuIdentity | None] = first_gpu
    load_flavour: Callable[[str], Any] = load_flavour
    open_device: Callable[[], Device] = open_device


def open_engine(
    bundle: Bundle, name: str, *, allow_host_code: bool = False, machine: Machine | None = None
) -> TrtRunner:
    """Return a runner on an engine of the bundle.

    Args:
        bundle: opened and verified.
        name: of a plan in its manifest.
        allow_host_code: see `TrtEngine`.
        machine: where it is to run; None is this one.

    Raises:
        ArtifactError: the engine is damaged, of another version or GPU, or of a graph that the bundle no longer holds.
        ConfigError: there is no GPU here, or its driver or TensorRT does not load.
        MissingDependencyError: pycuda or the engine's TensorRT is not installed.
    """
    machine = Machine() if machine is None else machine
    refuse_stale(bundle, name)
    sidecar = _sidecar(bundle, name)
    gpu = machine.find_gpu()
    if gpu is None:
        raise ConfigError(
            f"expected an NVIDIA GPU to run {name}, got a machine on which no driver shows one; "
            "install the driver (capgan-edge doctor says more), or use backend cpu"
        )
    trt = machine.load_flavour(sidecar.flavour)
    plan_bytes = bundle.read_file(name)
    _refuse_unfit(plan_bytes, sidecar, Host(gpu=gpu, versions={sidecar.flavour: str(trt.__version__)}), bundle, name)
    _refuse_host_code(sidecar, name, is_allowed=allow_host_code)
    device = machine.open_device()
    with device.active():
        engine = TrtEngine(plan_bytes, trt, allow_host_code=allow_host_code)
    return TrtRunner(engine, device, name=sidecar.flavour)


def refuse_stale(bundle: Bundle, name: str) -> None:
    """Refuse an engine of a graph that was replaced since: what runs is what the bundle holds, in every precision.

    Raises:
        ArtifactError: no graph of the bundle has the hash that the engine was compiled from.
    """
    reason = stale_reason(bundle, name)
    if reason is not None:
        rebuild = rebuild_command(_sidecar(bundle, name), bundle=str(bundle.path))
        raise ArtifactError(f"{name}: {reason}; build it again: {rebuild}")


def stale_reason(bundle: Bundle, name: str) -> str | None:
    """Return in what an engine is of a graph that was replaced since; None where it is of one in the bundle."""
    manifest, engine = bundle.manifest, bundle.manifest.engines[name]
    if engine.source_sha256 in {manifest.files[graph].sha256 for graph in manifest.artifacts}:
        return None
    return (
        "expected an engine of a graph in the bundle, got one of a graph that was replaced since "
        f"({engine.source_sha256[:12]}...)"
    )


def _sidecar(bundle: Bundle, name: str) -> EngineSidecar:
    sidecar_name = bundle.manifest.engines[name].sidecar
    return sidecar_from_json(bundle.read_file(sidecar_name), str(bundle.path / sidecar_name))


def _refuse_unfit(plan_bytes: bytes, sidecar: EngineSidecar, host: Host, bundle: Bundle, name: str) -> None:
    record = bundle.manifest.files[name]
    verdict = preflight(
        plan_bytes, sidecar, host, sha256=record.sha256, size_bytes=record.size_bytes, bundle=str(bundle.path)
    )
    if not verdict.ok:
        raise ArtifactError(f"{name}: {verdict.reason}; build it again: {verdict.rebuild}")


def _refuse_host_code(sidecar: EngineSidecar, name: str, *, is_allowed: bool) -> None:
    if "VERSION_COMPATIBLE" in sidecar.flags and not is_allowed:
        raise ConfigError(
            f"expected leave to run the code that a version-compatible plan brings along, got none for {name}; "
            "pass --allow-host-code (allow_host_code=True in Python) if you trust it like a program, or build it "
            "without --version-compatible"
        )
