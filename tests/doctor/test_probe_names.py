"""What the doctor's probe calls of TensorRT is there: a name that is gone would read as `cannot build`."""

from __future__ import annotations

import ast
import inspect

import pytest

from capgan_edge.doctor import probes
from capgan_edge.doctor.probes import RTX_NAMES, TENSORRT_NAMES

TABLES = (TENSORRT_NAMES, RTX_NAMES)
DOTTED = [f"{kind}.{name}" for table in TABLES for kind, names in table.items() for name in ("__name__", *names)]


@pytest.mark.parametrize("dotted", DOTTED)
def test_every_name_that_the_probe_uses_exists_in_tensorrt_rtx(dotted: str) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")
    kind, name = dotted.split(".")
    assert hasattr(getattr(rtx, kind), name)


def test_no_name_of_tensorrt_is_used_that_is_not_listed() -> None:
    tree = ast.parse(inspect.getsource(probes.tensorrt))
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _root(node) in ("trt", "kinds"):
            used.add(node.attr)
        if isinstance(node, ast.Call) and _root(node.func) == "getattr" and isinstance(node.args[1], ast.Constant):
            used.add(str(node.args[1].value))
    listed = {name for table in TABLES for kind, names in table.items() for name in (kind, *names)}
    assert used == listed | {"__version__"}


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return getattr(node, "id", None)
