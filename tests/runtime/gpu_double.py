"""Doubles of the hardware that is not here: a GPU whose memory is numpy's, and a TensorRT that computes on it.

Work on a stream is only queued until somebody waits for it, as on a real GPU: a runner that reads too early reads
nothing. The engine computes what the tiny graph of `conftest.py` does: the strongest channel is the class.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError
from capgan_edge.runtime.device_memory import CapturedGraph, CaptureRefusedError

SIZE_PX, NUM_CLASSES = 8, 3
Work = Callable[[], None]


class NumpyGraph:
    def __init__(self, device: NumpyDevice, work: list[Work]) -> None:
        self.device, self.work = device, work
        device.live.add(("graph", id(self)))

    def launch(self, stream: int) -> None:
        if self.device.fails_launch:
            raise CapganError("expected the GPU to launch a captured graph, but: told to fail; load again")
        self.device.queues[stream] += self.work

    def free(self) -> None:
        self.device.live.remove(("graph", id(self)))


class NumpyDevice:
    """Counts what lives in `live`, runs queued work when it is waited for, and refuses where it is told to."""

    name, sm = "Double", "sm_86"

    def __init__(self, *, memory_bytes: int = 1 << 30, refuses_capture: bool = False) -> None:
        self.live: set[tuple[str, int]] = set()
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.queues: dict[int, list[Work]] = {}
        self.depth = 0
        self.captures = 0
        self.fails_launch = False
        self.pause_s = 0.0
        """What waiting for the GPU takes: other threads run meanwhile."""
        self.threads: set[int] = set()
        self.has_overlapped = False
        self._free_bytes, self._refuses_capture, self._next = memory_bytes, refuses_capture, 4096

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        self.depth += 1
        self.threads.add(threading.get_ident())
        self.has_overlapped |= len(self.threads) > 1
        try:
            yield
        finally:
            self.depth -= 1
            self.threads.discard(threading.get_ident())

    def allocate(self, size_bytes: int) -> int:
        if size_bytes > self._free_bytes:
            raise CapganError(f"expected the GPU to allocate {size_bytes:,} bytes, but: out of memory; use backend cpu")
        self._free_bytes -= size_bytes
        address = self._born("memory")
        self.memory[address] = np.full(size_bytes, 0xAB, np.uint8)
        return address

    def free(self, address: int) -> None:
        self._dies("memory", address)
        self._free_bytes += len(self.memory.pop(address))

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        block = np.full(size_bytes, 0xCD, np.uint8)
        self.live.add(("pinned", block.ctypes.data))
        return block

    def free_pinned(self, block: NDArray[np.uint8]) -> None:
        self._dies("pinned", block.ctypes.data)
        block[:] = 0xEE  # whoever still looks at it sees that it is gone

    def open_stream(self) -> int:
        stream = self._born("stream")
        self.queues[stream] = []
        return stream

    def close_stream(self, stream: int) -> None:
        self._dies("stream", stream)
        assert self.queues.pop(stream) == [], "work was still queued"

    def copy_in(self, address: int, host: NDArray[Any], stream: int) -> None:
        assert host.flags.c_contiguous
        self.queues[stream].append(lambda: self._write(address, host))

    def copy_out(self, host: NDArray[Any], address: int, stream: int) -> None:
        assert host.flags.c_contiguous
        self.queues[stream].append(lambda: self._read(host, address))

    def synchronise(self, stream: int) -> None:
        time.sleep(self.pause_s)
        work, self.queues[stream][:] = list(self.queues[stream]), []
        for step in work:
            step()

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> CapturedGraph:
        self.captures += 1
        before = list(self.queues[stream])
        is_queued = enqueue()
        work = self.queues[stream][len(before) :]
        self.queues[stream][:] = before
        if self._refuses_capture or not is_queued:
            raise CaptureRefusedError("the double does not capture")
        return NumpyGraph(self, work)

    def _write(self, address: int, host: NDArray[Any]) -> None:
        data = host.view(np.uint8).reshape(-1)
        self.memory[address][: len(data)] = data

    def _read(self, host: NDArray[Any], address: int) -> None:
        data = host.view(np.uint8).reshape(-1)
        data[:] = self.memory[address][: len(data)]

    def _born(self, kind: str) -> int:
        assert self.depth > 0, "the device is not active"
        self._next += 4096
        self.live.add((kind, self._next))
        return self._next

    def _dies(self, kind: str, handle: int) -> None:
        assert self.depth > 0, "the device is not active"
        self.live.remove((kind, handle))


class DataType(Enum):
    FLOAT, UINT8, HALF = range(3)


class TensorIOMode(Enum):
    INPUT, OUTPUT = range(2)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)

    def log(self, severity: int, message: str) -> None: ...


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine, self.device = engine, engine.device
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}
        self.device.live.add(("context", id(self)))

    def __del__(self) -> None:
        self.device.live.discard(("context", id(self)))

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, high = self.engine.profile
        self.shape = shape
        return name == "frames" and low <= shape[0] <= high

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address in self.device.memory

    def is_stream_capturable(self, stream: int) -> bool:
        self.engine.trt.calls_until_capturable -= 1
        return self.engine.trt.calls_until_capturable < 0

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.trt.fails:
            self.engine.logger.log(ILogger.ERROR, "the double\nwas told to fail")
            return False
        shape, addresses = self.shape, dict(self.addresses)
        self.device.queues[stream].append(lambda: self._compute(shape, addresses))
        return True

    def _compute(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
        memory = self.device.memory
        frames = memory[addresses["frames"]][: int(np.prod(shape))].reshape(shape)
        mean = (frames.astype(np.float32) / 255).mean(axis=(1, 2))
        results = {"logits": 10 * mean, "suspicion": mean.mean(axis=1), "purified": 255 - frames}
        for name, value in results.items():
            data = np.ascontiguousarray(value).view(np.uint8).reshape(-1)
            memory[addresses[name]][: len(data)] = data


class ICudaEngine:
    TENSORS: ClassVar[dict[str, tuple[tuple[int, ...], DataType]]] = {
        "frames": ((-1, SIZE_PX, SIZE_PX, 3), DataType.UINT8),
        "logits": ((-1, NUM_CLASSES), DataType.FLOAT),
        "suspicion": ((-1,), DataType.FLOAT),
        "purified": ((-1, SIZE_PX, SIZE_PX, 3), DataType.UINT8),
    }

    def __init__(self, trt: TrtDouble, logger: ILogger) -> None:
        self.trt, self.logger, self.device, self.profile = trt, logger, trt.device, trt.profile
        self.tensors: dict[str, tuple[tuple[int, ...], DataType]] = {**self.TENSORS, **trt.tensors}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.tensors[name][1]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "frames" else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        low, high = self.profile
        return [(size, *self.tensors[name][0][1:]) for size in (low, high, high)]

    def create_execution_context(self) -> IExecutionContext | None:
        return IExecutionContext(self) if self.trt.has_memory else None


class TrtDouble:
    """Stands for the module: what it deserialises is always the engine above, unless the plan is `refused`."""

    __version__ = "1.7.1.116"
    DataType, TensorIOMode, ILogger = DataType, TensorIOMode, ILogger
    ICudaEngine, IExecutionContext = ICudaEngine, IExecutionContext

    def __init__(self, device: NumpyDevice, *, profile: tuple[int, int] = (1, 4), **settings: Any) -> None:
        self.device, self.profile = device, profile
        self.calls_until_capturable: int = settings.get("calls_until_capturable", 0)
        self.has_memory: bool = settings.get("has_memory", True)
        self.tensors: dict[str, Any] = settings.get("tensors", {})
        self.fails = False
        self.host_code: list[bool] = []
        double = self

        class Runtime:
            engine_host_code_allowed = False

            def __init__(self, logger: ILogger) -> None:
                self.logger = logger

            def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
                double.host_code.append(self.engine_host_code_allowed)
                if plan == b"refused":
                    self.logger.log(ILogger.INFO, "loaded")
                    self.logger.log(ILogger.ERROR, "serialised by another version")
                    return None
                return ICudaEngine(double, self.logger)

        self.Runtime = Runtime
