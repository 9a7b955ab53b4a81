"""The door to TensorRT: what is here is taken, what is missing, too old or ambiguous is said, and every name exists."""

from __future__ import annotations

import ast
import enum
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

import capgan_export.engine
from capgan_edge.errors import CapganError, ConfigError, MissingDependencyError
from capgan_export.engine.config import EngineConfig
from capgan_export.engine.door import Door, open_door
from capgan_export.engine.network import creation_flags

FOLDER = Path(capgan_export.engine.__file__).parent
ADAPTERS = ("door.py", "network.py", "compilation.py")
CLASS_OF = {
    "builder": "Builder",
    "network.builder": "Builder",
    "network.definition": "INetworkDefinition",
    "definition": "INetworkDefinition",
    "parser": "OnnxParser",
    "fault": "ParserError",
    "tensor": "ITensor",
    "layer": "ILayer",
    "flags": "NetworkDefinitionCreationFlag",
    "builder_config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
}
"""What the adapters call objects of TensorRT, and of which class these are."""


def _names_used(tree: ast.AST) -> set[tuple[str, ...]]:
    """Return (class or "", name, ...) of all that is taken from TensorRT."""
    used: set[tuple[str, ...]] = set()
    for found in ast.walk(tree):
        if isinstance(found, ast.ClassDef):
            for base in found.bases:
                methods = [item.name for item in found.body if isinstance(item, ast.FunctionDef)]
                used |= {(ast.unparse(base).removeprefix("trt."), name) for name in methods if name != "__init__"}
        if not isinstance(found, ast.Attribute):
            continue
        text = ast.unparse(found)
        for root in ("trt", "door.trt"):
            if text.startswith(f"{root}."):
                used.add(tuple(text.removeprefix(f"{root}.").split(".")))
        owner, _, name = text.rpartition(".")
        if owner in CLASS_OF:
            used.add((CLASS_OF[owner], name))
    return used


def test_every_name_of_tensorrt_that_is_used_exists(door: Door) -> None:
    used = set().union(*(_names_used(ast.parse((FOLDER / name).read_text())) for name in ADAPTERS))
    assert set(CLASS_OF.values()) <= {path[0] for path in used}, "a name above is no longer what the code calls it"
    assert len(used) > 50
    missing = []
    for path in sorted(used):
        held: Any = door.trt
        for name in path:
            held = getattr(held, name, None)
        if held is None:
            missing.append(".".join(path))
    assert missing == []


def test_nothing_but_the_adapters_touches_tensorrt() -> None:
    others = [path for path in FOLDER.glob("*.py") if path.name not in ADAPTERS]
    touching = [path.name for path in others if ".trt" in path.read_text() or "import tensorrt" in path.read_text()]
    assert len(others) > 5
    assert touching == []


def test_the_real_one_says_what_it_is_and_compiles_for(door: Door) -> None:
    real = import_module("tensorrt_rtx")
    assert (door.flavour, door.version) == ("tensorrt_rtx", real.__version__)
    assert {"sm_75", "sm_86", "sm_89", "sm_120"} <= set(door.targets)
    assert open_door().log is door.log, "one logger a process"


def _tensorrt(door: Door, version: str) -> ModuleType:
    """The bindings of TensorRT-RTX under the name of their sibling, which cannot be installed everywhere."""
    module = ModuleType("tensorrt")
    module.__dict__.update({**vars(door.trt), "__version__": version, "__name__": "tensorrt"})
    return module


def test_of_two_one_must_be_named(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", _tensorrt(door, "11.4.1.2"))
    with pytest.raises(ConfigError, match="got tensorrt and tensorrt_rtx; say which with --flavour"):
        open_door()
    assert open_door("tensorrt").version == "11.4.1.2"
    assert open_door("tensorrt_rtx").flavour == "tensorrt_rtx"
    with pytest.raises(ConfigError, match="tensorrt or tensorrt_rtx, got 'cuda'"):
        open_door("cuda")


def test_one_before_10_names_the_jetpack_to_move_to(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", _tensorrt(door, "8.6.2"))
    with pytest.raises(ConfigError, match=r"TensorRT 10 or newer, got 8\.6\.2; on a Jetson move to JetPack 6\.2"):
        open_door("tensorrt")


def test_none_names_the_extra_and_jetpack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it then fails as where it is not installed
    with pytest.raises(MissingDependencyError, match=r"'capgan-edge\[rtx\]' .*JetPack"):
        open_door()
    with pytest.raises(MissingDependencyError, match=r"needs tensorrt, .*'capgan-edge\[gpu\]'"):
        open_door("tensorrt")


def test_one_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(ConfigError, match=r"expected tensorrt to load, but: libnvinfer\.so\.10"):
        open_door("tensorrt")


class Refusal(NamedTuple):
    name: str
    flavour: str
    options: dict[str, Any]
    message: str


REFUSALS = [
    Refusal("a target that RTX lacks", "tensorrt_rtx", {"targets": ("sm_90",)}, "got sm_90; on that GPU use tensorrt"),
    Refusal("a timing cache", "tensorrt_rtx", {"timing_cache": Path("t")}, "no --timing-cache with tensorrt_rtx"),
    Refusal("version", "tensorrt_rtx", {"is_version_compatible": True}, "no --version-compatible with tensorrt_rtx"),
    Refusal("hardware", "tensorrt_rtx", {"is_hardware_compatible": True}, "no --hardware-compatible with tensorrt_rtx"),
    Refusal("a target", "tensorrt", {"targets": ("sm_86",)}, "no --target with tensorrt 10.3.0, which compiles for"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_an_option_that_does_not_apply_is_refused(case: Refusal, door: Door) -> None:
    if case.flavour == "tensorrt":  # whose configuration has no targets
        door = Door("tensorrt", "10.3.0", SimpleNamespace(IBuilderConfig=object), door.log)
    with pytest.raises(CapganError, match=case.message):
        door.refuse(EngineConfig(precision="fp16", **case.options))


def test_strong_typing_is_asked_for_by_name_and_never_by_number(door: Door) -> None:
    class Ten(enum.IntEnum):
        EXPLICIT_BATCH = 0
        STRONGLY_TYPED = 1

    class Eight(enum.IntEnum):
        EXPLICIT_BATCH = 0

    def flagged(flags: Any) -> Door:
        return Door("tensorrt", "10.3.0", SimpleNamespace(NetworkDefinitionCreationFlag=flags), door.log)

    assert creation_flags(flagged(Ten)) == 0b10
    assert creation_flags(door) == 1 << int(door.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    with pytest.raises(ConfigError, match="strongly typed networks"):
        creation_flags(flagged(Eight))
