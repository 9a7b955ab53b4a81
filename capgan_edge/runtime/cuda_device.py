"""A GPU through pycuda: the device interface of the TensorRT runner, over the primary context that TensorRT uses."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError, ConfigError, MissingDependencyError
from capgan_edge.runtime.cuda_graph import DriverGraph, DriverGraphs

_NON_BLOCKING = 1
"""CUDA's flag for a stream that does not wait for the default stream, where other code of the process may work."""


def open_device(ordinal: int = 0) -> CudaDevice:
    """Return a GPU of this machine.

    Raises:
        MissingDependencyError: pycuda is not installed.
        ConfigError: no driver, no GPU, or fewer of them.
    """
    driver = _pycuda_driver()
    try:
        driver.init()
        num_devices = driver.Device.count()
    except driver.Error as error:
        raise _no_gpu(error) from error
    if not 0 <= ordinal < num_devices:
        raise ConfigError(
            f"expected GPU {ordinal}, got a machine with {num_devices}; check CUDA_VISIBLE_DEVICES, or use backend cpu"
        )
    return CudaDevice(driver, ordinal)


class CudaDevice:
    """One GPU. Several may be open on one GPU: they share its primary context, as CUDA's own runtime does."""

    def __init__(self, driver: Any, ordinal: int) -> None:
        """Take pycuda's driver module, initialised."""
        self._driver = driver
        with self._one_line("open the device"):
            device = driver.Device(ordinal)
            major, minor = device.compute_capability()
            self.name, self.sm = str(device.name()), f"sm_{major}{minor}"
            self._context = _primary_context(driver, ordinal)
        self._memory: dict[int, Any] = {}
        self._streams: dict[int, Any] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Push the context, and pop it again: a thread that had another one keeps that."""
        with self._one_line("become current"):
            self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new device memory."""
        with self._one_line(f"allocate {size_bytes:,} bytes"):
            allocation = self._driver.mem_alloc(size_bytes)
        address = int(allocation)
        self._memory[address] = allocation
        return address

    def free(self, address: int) -> None:
        """Free device memory."""
        with self._one_line("free memory"):
            self._memory.pop(address).free()

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        """Return page-locked host memory."""
        with self._one_line(f"allocate {size_bytes:,} bytes of pinned memory"):
            block: NDArray[np.uint8] = self._driver.pagelocked_empty(size_bytes, np.uint8)
        return block

    def free_pinned(self, block: NDArray[np.uint8]) -> None:
        """Free page-locked memory, which pycuda holds as the array's base."""
        holder: Any = block.base
        with self._one_line("free pinned memory"):
            holder.free()

    def open_stream(self) -> int:
        """Return a new stream's handle."""
        with self._one_line("open a stream"):
            stream = self._driver.Stream(_NON_BLOCKING)
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def close_stream(self, stream: int) -> None:
        """Let go of a stream: pycuda destroys it with its last reference."""
        del self._streams[stream]

    def copy_in(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        with self._one_line("copy frames"):
            self._driver.memcpy_htod_async(address, host, self._streams[stream])

    def copy_out(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device."""
        with self._one_line("copy results"):
            self._driver.memcpy_dtoh_async(host, address, self._streams[stream])

    def synchronise(self, stream: int) -> None:
        """Wait for the stream."""
        with self._one_line("finish its work"):
            self._streams[stream].synchronize()

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> DriverGraph:
        """Capture by the driver's library, which knows pycuda's streams by their handles."""
        return DriverGraphs().capture(stream, enqueue)

    @contextlib.contextmanager
    def _one_line(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            text = " ".join(str(error).split())
            raise CapganError(
                f"expected the GPU to {what}, but: {text}; close what else uses the GPU, or use backend cpu"
            ) from error


@functools.cache
def _primary_context(driver: Any, ordinal: int) -> Any:
    """Return the GPU's primary context, kept until the process ends.

    pycuda frees memory only where this very object is current, and can give a context up only in the thread that took
    it: so there is one for the process, and runners may be closed by other threads than those that opened them.
    """
    context = driver.Device(ordinal).retain_primary_context()
    atexit.register(context.detach)
    return context


def _pycuda_driver() -> Any:
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pycuda", "running a TensorRT engine", "gpu") from error
    except ImportError as error:  # pycuda is there, and the driver's library is not
        raise _no_gpu(error) from error


def _no_gpu(error: Exception) -> ConfigError:
    return ConfigError(
        f"expected an NVIDIA GPU and its driver, but: {' '.join(str(error).split())}; "
        "install the driver (nvidia-smi then shows the GPU), or use backend cpu"
    )
