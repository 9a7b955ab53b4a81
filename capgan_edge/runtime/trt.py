"""A fused graph compiled by TensorRT, as a runner. Shapes: N frames, H height, W width, K classes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, CapganError, InputError
from capgan_edge.runtime.contract import check_contract
from capgan_edge.runtime.device_memory import CapturedGraph, CaptureRefusedError, Device
from capgan_edge.runtime.runner import Outputs, outputs_from
from capgan_edge.runtime.trt_engine import Engine


@dataclass(slots=True)
class CallCounts:
    """How calls were launched."""

    graph: int = 0
    """Calls that launched a captured CUDA graph."""
    plain: int = 0
    """Calls that TensorRT queued kernel by kernel."""
    not_ready: int = 0
    """Plain calls of a batch size that came again, since TensorRT said that its work may not be captured yet."""
    refused: int = 0
    """Batch sizes whose capture was refused: their calls stay plain."""
    refusal: str | None = None
    """Why, the last time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Buffer:
    """One tensor: device memory, and pinned memory of as many frames [max N, ...]."""

    address: int
    host: NDArray[Any]


class TrtRunner:
    """An engine on a GPU, for one thread at a time; every call returns fresh arrays.

    One stream, one execution context, buffers for the largest batch. The first call with a batch size is plain, the
    next with the same size is captured as a CUDA graph. There is one graph at a time, since a context that has changed
    its shape must not launch a graph captured before; a batch size that cannot be captured is counted and runs plain.
    """

    def __init__(self, engine: Engine, device: Device, *, name: str = "tensorrt") -> None:
        """Take over an engine: it is closed with the runner, and at once where this raises.

        Args:
            engine: deserialised on `device`.
            device: the GPU.
            name: what `providers` says runs the graph.

        Raises:
            ArtifactError: the engine breaks the graph contract.
            CapganError: the GPU's memory does not hold its buffers.
        """
        self.counts = CallCounts()
        self.providers = (name,)
        self.device_name = device.name
        self._engine, self._device = engine, device
        self._graph: CapturedGraph | None = None
        self._batch: int | None = None
        self._refused_batches: set[int] = set()
        self._is_closed = False
        with device.active(), contextlib.ExitStack() as undo:
            undo.callback(engine.close)
            self.contract = check_contract(engine.inputs, engine.outputs)
            self.min_batch, self.max_batch = engine.batch_range
            self._stream = device.open_stream()
            undo.callback(device.close_stream, self._stream)
            self._buffers = {tensor.name: self._new_buffer(tensor.dtype, tensor.shape[1:], undo)
                             for tensor in (*engine.inputs, *engine.outputs)}  # fmt: skip
            for tensor_name, buffer in self._buffers.items():
                engine.bind(tensor_name, buffer.address)
            self._held = undo.pop_all()

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        self._refuse_bad(frames_NHWC)
        with self._device.active():
            try:
                held = self._run(frames_NHWC)
            except BaseException:
                with contextlib.suppress(CapganError):  # the error to tell is the first one
                    self._device.synchronise(self._stream)
                self._forget_batch()  # what the context was in the middle of is not known
                raise
        return outputs_from(held)

    def close(self) -> None:
        """Free graph, engine, stream and every buffer; twice is once."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._device.active(), self._held:
            self._forget_batch()

    def __enter__(self) -> TrtRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new_buffer(self, dtype: str, frame_shape: tuple[int | None, ...], undo: contextlib.ExitStack) -> _Buffer:
        shape = (self.max_batch, *(size or 0 for size in frame_shape))
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self._device.allocate(size_bytes)
        undo.callback(self._device.free, address)
        block = self._device.allocate_pinned(size_bytes)
        undo.callback(self._device.free_pinned, block)
        block[:] = 0
        return _Buffer(address=address, host=block.view(dtype).reshape(shape))

    def _refuse_bad(self, frames_NHWC: NDArray[np.uint8]) -> None:
        if self._is_closed:
            raise CapganError("expected an open runner, got one that was closed; load the bundle again")
        self.contract.refuse_other_frames(frames_NHWC, taker="this engine")
        if not 1 <= len(frames_NHWC) <= self.max_batch:
            raise InputError(
                f"this engine was built for {self.min_batch} to {self.max_batch} frames at once, got "
                f"{len(frames_NHWC)}; give them to Classifier, which splits, or build with a larger --batch"
            )

    def _run(self, frames_NHWC: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return every output's rows, one a frame; what the profile's least batch needs more of is run and not read."""
        num_frames = len(frames_NHWC)
        batch = max(num_frames, self.min_batch)
        if batch != self._batch:
            self._forget_batch()
            self._engine.set_batch(batch)
        frames = self._buffers["frames"]
        frames.host[:num_frames] = frames_NHWC
        self._device.copy_in(frames.address, frames.host[:batch], self._stream)
        self._launch(batch)
        outputs = {name: self._buffers[name] for name in self.contract.output_names}
        for buffer in outputs.values():
            self._device.copy_out(buffer.host[:num_frames], buffer.address, self._stream)
        self._device.synchronise(self._stream)
        self._batch = batch
        return {name: buffer.host[:num_frames].copy() for name, buffer in outputs.items()}

    def _launch(self, batch: int) -> None:
        is_warm = batch == self._batch  # it has run once: TensorRT's own first allocations must not be captured
        if is_warm and self._graph is None and batch not in self._refused_batches:
            self._graph = self._captured(batch)
        if self._graph is not None:
            self._graph.launch(self._stream)
            self.counts.graph += 1
            return
        if not self._engine.enqueue(self._stream):
            raise ArtifactError(
                f"expected TensorRT to run {batch} frames, but: {self._engine.said()}; "
                "build the engine again on this machine"
            )
        self.counts.plain += 1

    def _captured(self, batch: int) -> CapturedGraph | None:
        if not self._engine.can_capture(self._stream):
            self.counts.not_ready += 1
            return None  # the next call asks again
        try:
            return self._device.capture(self._stream, lambda: self._engine.enqueue(self._stream))
        except CaptureRefusedError as error:
            self._refused_batches.add(batch)
            self.counts.refused += 1
            self.counts.refusal = str(error)
            return None

    def _forget_batch(self) -> None:
        self._batch = None
        if self._graph is not None:
            graph, self._graph = self._graph, None
            graph.free()
