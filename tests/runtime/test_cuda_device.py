"""The GPU through pycuda: missing parts are one line, and a double of pycuda's driver module shows what is called."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from capgan_edge.errors import CapganError, ConfigError, MissingDependencyError
from capgan_edge.runtime.cuda_device import CudaDevice, open_device


class Error(Exception):
    """Stands for pycuda's."""


class Allocation:
    def __init__(self, driver: DriverDouble, address: int) -> None:
        self.driver, self.address = driver, address

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        self.driver.require_current()
        self.driver.freed.append(self.address)


class DriverDouble:
    """As much of pycuda.driver as the device uses: every call needs the one context to be current in its thread."""

    Error = Error

    def __init__(self, *, num_devices: int = 1, failure: str = "") -> None:
        self.num_devices, self.failure = num_devices, failure
        self.stack = threading.local()
        self.freed: list[int] = []
        self.log: list[tuple[Any, ...]] = []
        self.context = SimpleNamespace(push=self._push, pop=self._pop, detach=lambda: None)
        self.Device = _DeviceClass(self.context, num_devices)

    def init(self) -> None:
        if self.failure:
            raise Error(self.failure)

    def require_current(self) -> None:
        assert getattr(self.stack, "depth", 0) > 0, "no context is current in this thread"

    def mem_alloc(self, size_bytes: int) -> Allocation:
        self.require_current()
        if size_bytes > 1 << 20:
            raise Error("cuMemAlloc failed:\nout of memory")
        return Allocation(self, 0x1000)

    def Stream(self, flags: int) -> SimpleNamespace:  # noqa: N802 - pycuda's name
        self.require_current()
        self.log.append(("stream", flags))
        return SimpleNamespace(handle=77, synchronize=lambda: self.log.append(("wait",)))

    def memcpy_htod_async(self, address: int, host: Any, stream: SimpleNamespace) -> None:
        self.require_current()
        self.log.append(("in", address, len(host), stream.handle))

    def memcpy_dtoh_async(self, host: Any, address: int, stream: SimpleNamespace) -> None:
        self.require_current()
        self.log.append(("out", address, len(host), stream.handle))

    def _push(self) -> None:
        self.stack.depth = getattr(self.stack, "depth", 0) + 1

    def _pop(self) -> None:
        self.stack.depth -= 1


class _DeviceClass:
    def __init__(self, context: SimpleNamespace, num_devices: int) -> None:
        self.context, self.num_devices = context, num_devices

    def __call__(self, ordinal: int) -> SimpleNamespace:
        assert ordinal < self.num_devices
        return SimpleNamespace(
            name=lambda: "Double", compute_capability=lambda: (8, 6), retain_primary_context=lambda: self.context
        )

    def count(self) -> int:
        return self.num_devices


def test_name_and_architecture_are_the_devices_own() -> None:
    device = CudaDevice(DriverDouble(), 0)
    assert (device.name, device.sm) == ("Double", "sm_86")


def test_memory_copies_and_streams_go_through_the_context_of_whichever_thread_calls() -> None:
    driver = DriverDouble()
    device = CudaDevice(driver, 0)
    with device.active():
        address, stream = device.allocate(64), device.open_stream()
        device.copy_in(address, np.zeros(16, np.uint8), stream)
        device.copy_out(np.zeros(8, np.uint8), address, stream)
        device.synchronise(stream)
    assert driver.log == [("stream", 1), ("in", 0x1000, 16, 77), ("out", 0x1000, 8, 77), ("wait",)]

    def close_elsewhere() -> None:
        with device.active():
            device.free(address)
            device.close_stream(stream)

    thread = threading.Thread(target=close_elsewhere)
    thread.start()
    thread.join()
    assert driver.freed == [address]
    assert driver.stack.depth == 0


def test_what_the_gpu_refuses_is_one_line_and_leaves_no_context_behind() -> None:
    driver = DriverDouble()
    device = CudaDevice(driver, 0)
    with (
        pytest.raises(CapganError, match="allocate 2,097,152 bytes, but: cuMemAlloc failed: out of memory; close"),
        device.active(),
    ):
        device.allocate(2 << 20)
    assert driver.stack.depth == 0


def _with_pycuda(monkeypatch: pytest.MonkeyPatch, driver: Any) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)


def test_a_machine_without_pycuda_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
    with pytest.raises(MissingDependencyError, match=r"needs pycuda, .*capgan-edge\[gpu\]"):
        open_device()


def test_a_pycuda_without_the_drivers_library_is_a_missing_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda/__init__.py").touch()
    (tmp_path / "pycuda/driver.py").write_text("raise ImportError('libcuda.so.1: cannot open')")
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"NVIDIA GPU and its driver, but: libcuda.so.1: cannot open; install"):
        open_device()
    monkeypatch.delitem(sys.modules, "pycuda")


def test_a_driver_that_does_not_start_or_lacks_the_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_pycuda(monkeypatch, DriverDouble(failure="cuInit failed: no CUDA-capable device is detected"))
    with pytest.raises(ConfigError, match="but: cuInit failed: no CUDA-capable device"):
        open_device()
    _with_pycuda(monkeypatch, DriverDouble(num_devices=1))
    assert open_device().name == "Double"
    with pytest.raises(ConfigError, match="expected GPU 1, got a machine with 1"):
        open_device(1)
