"""Capture through the driver's library: whatever happens, the stream stops capturing and no handle is lost."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from capgan_edge.errors import CapganError
from capgan_edge.runtime.cuda_graph import SIGNATURES, DriverGraphs
from capgan_edge.runtime.device_memory import CaptureRefusedError

STREAM, GRAPH, LAUNCHABLE = 0x7F00_0000_1000, 0x7F00_0000_2000, 0x7F00_0000_3000
"""Handles as wide as real ones: one that is cut to 32 bits on the way is not the same any more."""


class DriverDouble:
    """The functions of the driver's library as C functions, so that ctypes converts what it would for the real one."""

    def __init__(self, **codes: int) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._codes = codes
        for name, types in SIGNATURES.items():
            setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int, *types)(self._function(name)))

    def _function(self, name: str) -> Callable[..., int]:
        def called(*arguments: Any) -> int:
            self.calls.append((name, tuple(value for value in arguments if isinstance(value, int))))
            code = self._codes.get(name, 0)
            if name == "cuStreamEndCapture" and code == 0:
                arguments[1][0] = GRAPH
            if name == "cuGraphInstantiateWithFlags" and code == 0:
                arguments[0][0] = LAUNCHABLE
            return code

        return called

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def test_a_graph_is_captured_launched_and_freed_by_its_own_handles() -> None:
    driver = DriverDouble()
    graph = DriverGraphs(driver).capture(STREAM, lambda: True)
    graph.launch(STREAM)
    graph.free()
    assert driver.calls == [
        ("cuStreamBeginCapture_v2", (STREAM, 1)),
        ("cuStreamEndCapture", (STREAM,)),
        ("cuGraphInstantiateWithFlags", (GRAPH, 0)),
        ("cuGraphDestroy", (GRAPH,)),
        ("cuGraphLaunch", (LAUNCHABLE, STREAM)),
        ("cuGraphExecDestroy", (LAUNCHABLE,)),
    ]


def test_work_that_is_refused_ends_the_capture_and_frees_the_graph() -> None:
    driver = DriverDouble()
    with pytest.raises(CaptureRefusedError, match="cannot be captured"):
        DriverGraphs(driver).capture(STREAM, lambda: False)
    assert driver.names == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]


def test_work_that_raises_ends_the_capture_and_frees_the_graph() -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    driver = DriverDouble()
    with pytest.raises(KeyboardInterrupt):
        DriverGraphs(driver).capture(STREAM, interrupted)
    assert driver.names == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]


@pytest.mark.parametrize("name", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_an_error_of_the_driver_is_a_refusal_with_its_code(name: str) -> None:
    driver = DriverDouble(**{name: 901})
    with pytest.raises(CaptureRefusedError, match="901"):
        DriverGraphs(driver).capture(STREAM, lambda: True)
    assert driver.names.count("cuGraphDestroy") == (1 if name == "cuGraphInstantiateWithFlags" else 0)


def test_a_graph_that_does_not_launch_is_an_error_and_not_a_wrong_result() -> None:
    driver = DriverDouble(cuGraphLaunch=700)
    with pytest.raises(CapganError, match="launch a captured graph, but: CUDA error 700"):
        DriverGraphs(driver).capture(STREAM, lambda: True).launch(STREAM)


def test_a_driver_without_graphs_is_a_refusal() -> None:
    with pytest.raises(CaptureRefusedError, match="offers no CUDA graphs"):
        DriverGraphs(object())
