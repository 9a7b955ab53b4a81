"""CUDA graphs by the driver's own library: pycuda (to 2026.1 at least) has no call for them, but its streams are these.

The recipe is trtexec's: begin capture on a stream of one's own, enqueue, end, instantiate; then launch at every call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from capgan_edge.errors import CapganError
from capgan_edge.runtime.device_memory import CaptureRefusedError

LIBRARY = "libcuda.so.1"
_THREAD_LOCAL = 1
"""Capture mode: what other threads (a camera, a server) do to the GPU meanwhile neither fails nor is captured."""
_HANDLE, _OUT = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
}
"""What is used of the driver (CUDA 11.4 or newer), with the types of the arguments; each returns an error code."""


class DriverGraphs:
    """Capture on a stream of the calling thread's current context."""

    def __init__(self, library: Any = None) -> None:
        """Take the driver's library; None loads it.

        Raises:
            CaptureRefusedError: there is none, or one too old for graphs.
        """
        try:
            self._library = ctypes.CDLL(LIBRARY) if library is None else library
            for name, argument_types in SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = argument_types, ctypes.c_int
        except (OSError, AttributeError) as error:
            raise CaptureRefusedError(f"this driver offers no CUDA graphs ({error})") from error

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> DriverGraph:
        """Return what `enqueue` queues; whatever goes wrong, the stream is no longer capturing afterwards."""
        self._call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        captured = ctypes.c_void_p()
        try:
            try:
                is_queued = enqueue()
            finally:
                code = self._library.cuStreamEndCapture(stream, ctypes.byref(captured))
            if not is_queued or code != 0:
                raise CaptureRefusedError(f"the engine's work cannot be captured (CUDA error {code})")
            return DriverGraph(self._library, self._launchable(captured))
        finally:
            if captured.value:
                self._library.cuGraphDestroy(captured)

    def _launchable(self, captured: ctypes.c_void_p) -> int:
        handle = ctypes.c_void_p()
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(handle), captured, 0)
        assert handle.value
        return handle.value

    def _call(self, name: str, *arguments: Any) -> None:
        if (code := getattr(self._library, name)(*arguments)) != 0:
            raise CaptureRefusedError(f"{name} gave CUDA error {code}")


class DriverGraph:
    """One instantiated graph."""

    def __init__(self, library: Any, handle: int) -> None:
        self._library, self._handle = library, handle

    def launch(self, stream: int) -> None:
        """Queue the whole graph."""
        if (code := self._library.cuGraphLaunch(self._handle, stream)) != 0:
            raise CapganError(
                f"expected the GPU to launch a captured graph, but: CUDA error {code}; "
                "close the classifier and load the bundle again"
            )

    def free(self) -> None:
        """Destroy the graph; it is not launched again."""
        self._library.cuGraphExecDestroy(self._handle)
