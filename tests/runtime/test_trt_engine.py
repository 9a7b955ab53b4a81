"""What the runtime calls of TensorRT is there, and what TensorRT refuses is one line of ours."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu_double
import pytest
from engine_bundle import build_plan, rtx
from gpu_double import NumpyDevice, TrtDouble

from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_edge.runtime import trt_engine
from capgan_edge.runtime.contract import Tensor
from capgan_edge.runtime.gpu import first_gpu
from capgan_edge.runtime.trt_engine import FLAVOURS, NAMES, RTX_NAMES, TrtEngine, load_flavour

LISTED = {name for names in NAMES.values() for name in names}
OF_TENSORRT = {"trt", "engine", "_engine", "_context", "_runtime", "DataType", "TensorIOMode", "ILogger"}
"""What the adapter calls the module and its objects."""


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for table in (NAMES, RTX_NAMES) for kind, names in table.items() for name in names]
)
def test_every_name_that_is_used_exists_in_tensorrt_rtx(kind: str, name: str) -> None:
    assert hasattr(getattr(rtx(), kind), name)


def test_no_name_of_tensorrt_is_used_that_is_not_listed() -> None:
    tree = ast.parse(inspect.getsource(trt_engine))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _last_name(node.value) in OF_TENSORRT and node.attr != "__init__"
    }
    assert {"execute_async_v3", "deserialize_cuda_engine", "INPUT", "ERROR"} <= used
    assert used <= LISTED | NAMES.keys()
    asked_for = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and _last_name(node.func) == "getattr"
        and _last_name(node.args[0]) in OF_TENSORRT
        and isinstance(node.args[1], ast.Constant)
    }
    assert asked_for - {"__version__"} == {name for names in RTX_NAMES.values() for name in names}


def _last_name(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def test_the_double_has_no_method_that_tensorrt_rtx_lacks() -> None:
    trt = rtx()
    for kind in ("ICudaEngine", "IExecutionContext"):
        methods = {name for name in vars(getattr(gpu_double, kind)) if name[0] != "_" and name.islower()}
        assert len(methods) > 3
        assert methods <= set(dir(getattr(trt, kind))), kind


def test_tensors_and_profile_are_read_from_the_engine() -> None:
    engine = TrtEngine(b"plan", TrtDouble(NumpyDevice(), profile=(2, 6)))
    assert engine.inputs == (Tensor(name="frames", dtype="uint8", shape=(None, 8, 8, 3)),)
    assert engine.outputs[0] == Tensor(name="logits", dtype="float32", shape=(None, 3))
    assert engine.batch_range == (2, 6)


def test_the_code_that_a_plan_brings_along_runs_only_by_leave() -> None:
    trt = TrtDouble(NumpyDevice())
    TrtEngine(b"plan", trt)
    TrtEngine(b"plan", trt, allow_host_code=True)
    assert trt.host_code == [False, True]


def test_a_refused_plan_is_an_error_with_what_tensorrt_said() -> None:
    with pytest.raises(ArtifactError, match="deserialise the plan, but: serialised by another version; build"):
        TrtEngine(b"refused", TrtDouble(NumpyDevice()))
    with pytest.raises(ArtifactError, match="make an execution context, but: TensorRT gave no reason; free"):
        TrtEngine(b"plan", TrtDouble(NumpyDevice(), has_memory=False))


def test_a_batch_or_an_address_that_the_engine_refuses_is_an_error() -> None:
    device = NumpyDevice()
    engine = TrtEngine(b"plan", TrtDouble(device))
    with pytest.raises(ArtifactError, match=r"take frames of shape \[9, 8, 8, 3\]"):
        engine.set_batch(9)
    with pytest.raises(ArtifactError, match="take an address for logits"):
        engine.bind("logits", 0)


@pytest.mark.skipif(first_gpu() is not None, reason="needs a machine without a GPU")
def test_a_real_plan_without_a_driver_is_refused_in_one_line_and_in_silence(
    make_model: Callable[..., bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    plan = build_plan(make_model())
    capfd.readouterr()
    with pytest.raises(ArtifactError, match=r"expected TensorRT to deserialise the plan, but: .*driver") as caught:
        TrtEngine(plan, rtx())
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_real_tensorrt_refuses_bytes_that_are_no_plan() -> None:
    for data in (b"", b"junk" * 100):
        with pytest.raises(ArtifactError, match="expected TensorRT to deserialise the plan"):
            TrtEngine(data, rtx())


def test_tensorrt_rtx_loads_by_its_name() -> None:
    assert load_flavour("tensorrt_rtx") is rtx()


def test_a_flavour_that_is_not_there_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for flavour, extra in FLAVOURS.items():
        monkeypatch.setitem(sys.modules, flavour, None)
        with pytest.raises(MissingDependencyError, match=rf"needs {flavour}, .*capgan-edge\[{extra}\]"):
            load_flavour(flavour)
    with pytest.raises(ConfigError, match="of tensorrt or tensorrt_rtx, got 'os'"):
        load_flavour("os")


def test_a_tensorrt_before_10_names_the_jetpack_to_move_to(monkeypatch: pytest.MonkeyPatch) -> None:
    old: Any = SimpleNamespace(__version__="8.5.2", **{
        kind: SimpleNamespace(**{name: None for name in names if name != "execute_async_v3"})
        for kind, names in NAMES.items()
    })  # fmt: skip
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(ConfigError, match=r"TensorRT 10 or newer, got tensorrt 8.5.2 .*JetPack 6.1"):
        load_flavour("tensorrt")


def test_a_tensorrt_whose_libraries_do_not_load_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10:\\ncannot open')")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"expected tensorrt to load, but: libnvinfer.so.10: cannot open; install"):
        load_flavour("tensorrt")
