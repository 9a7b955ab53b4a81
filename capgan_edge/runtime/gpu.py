"""The GPU and the TensorRTs of this machine, as the driver and pip's notes tell: no TensorRT is loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import metadata
from typing import Any

from capgan_edge.runtime.preflight import Host
from capgan_edge.runtime.sidecar import Flavour, GpuIdentity

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the driver's stable ABI."""
_PACKAGES: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}


def this_host() -> Host:
    """Return what engines are held against on this machine."""
    return Host(gpu=first_gpu(), versions=installed_versions())


def first_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> GpuIdentity | None:
    """Return the first GPU that the driver shows to this process; None without a driver or a GPU.

    Args:
        load: opens the driver's library by its name.
    """
    try:
        driver = load(_DRIVER)
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    calls: tuple[Callable[[], int], ...] = (
        lambda: driver.cuInit(0),
        lambda: driver.cuDeviceGet(ctypes.byref(device), 0),
        lambda: driver.cuDeviceGetName(name, len(name), device),
        lambda: driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        lambda: driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
    )
    if any(call() != 0 for call in calls):
        return None
    return GpuIdentity(name=name.value.decode(errors="replace"), sm=f"sm_{major.value}{minor.value}")


def installed_versions() -> dict[Flavour, str]:
    """Return the version of each TensorRT that a package of this environment brings."""
    found: dict[Flavour, str] = {}
    for flavour, packages in _PACKAGES.items():
        for package in packages:
            try:
                found[flavour] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
            break
    return found
