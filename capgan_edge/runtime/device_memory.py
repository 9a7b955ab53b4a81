"""All that the TensorRT runner asks of a GPU: memory, copies, a stream, and a captured graph. Handles are integers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class CaptureRefusedError(Exception):
    """The work could not be captured as a CUDA graph; the stream is as it was. Never reaches a user."""


class CapturedGraph(Protocol):
    """Work that was captured once and is launched as a whole."""

    def launch(self, stream: int) -> None: ...

    def free(self) -> None: ...


class Device(Protocol):
    """One GPU. Every call but `active` needs the device to be active in the calling thread.

    Raises:
        CapganError: the GPU refused, in one line; out of memory is such a refusal.
    """

    name: str
    sm: str
    """Its compute capability, as in `sm_86`."""

    def active(self) -> AbstractContextManager[None]:
        """Make the device current to this thread for the length of a `with`; such blocks nest."""

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new device memory."""

    def free(self, address: int) -> None: ...

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        """Return page-locked host memory, which alone is copied without a detour."""

    def free_pinned(self, block: NDArray[np.uint8]) -> None:
        """Free what `allocate_pinned` gave; no view of it may be used afterwards."""

    def open_stream(self) -> int:
        """Return a new stream, never the default one: work on that one waits for all others."""

    def close_stream(self, stream: int) -> None: ...

    def copy_in(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Queue a copy of contiguous pinned memory to the device."""

    def copy_out(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device to contiguous pinned memory."""

    def synchronise(self, stream: int) -> None:
        """Wait until all that was queued is done; errors of that work appear here."""

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> CapturedGraph:
        """Return what `enqueue` queues on the stream, captured and not run.

        Raises:
            CaptureRefusedError: no capture here, or none of this work.
        """
