"""The one door to TensorRT: imports `tensorrt` (10 or newer) or `tensorrt_rtx`, and collects what its logger says.

Features are looked up by name, never by version or by number: values of enumerations moved between 10 and 11.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_args

from capgan_edge.errors import ConfigError, MissingDependencyError
from capgan_edge.runtime.sidecar import Flavour
from capgan_export.engine.config import EngineConfig

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
_OLDEST = 10
_TARGET_MEMBER = re.compile(r"SM([0-9]{2,3})")


@dataclass(frozen=True, slots=True)
class Door:
    """A TensorRT that is here. `trt` is for the adapters of this package alone: network.py and compilation.py."""

    flavour: Flavour
    version: str
    trt: Any
    log: BuildLog

    @property
    def targets(self) -> tuple[str, ...]:
        """Architectures that it can be asked to compile for; empty where it compiles for this machine alone."""
        trt = self.trt
        if not hasattr(trt.IBuilderConfig, "num_compute_capabilities") or not hasattr(trt, "ComputeCapability"):
            return ()
        found = (_TARGET_MEMBER.fullmatch(name) for name in trt.ComputeCapability.__members__)
        return tuple(f"sm_{match[1]}" for match in found if match)

    def refuse(self, config: EngineConfig) -> None:
        """Refuse options that do not apply to this flavour.

        Raises:
            ConfigError: names the option, and what to do instead.
        """
        if config.targets and not self.targets:
            raise ConfigError(
                f"expected no --target with {self.flavour} {self.version}, which compiles for the machine it runs on, "
                f"got {', '.join(config.targets)}; build there, or use TensorRT-RTX (pip install 'capgan-edge[rtx]')"
            )
        for target in config.targets:
            if target not in self.targets:
                raise ConfigError(
                    f"expected targets among {', '.join(self.targets)}, which {self.flavour} {self.version} compiles "
                    f"for, got {target}; on that GPU use tensorrt, or ONNX Runtime's CUDA provider"
                )
        if self.flavour == "tensorrt_rtx":
            _refuse_for_rtx(config)


def open_door(flavour: str | None = None) -> Door:
    """Return the TensorRT that is installed.

    Args:
        flavour: `tensorrt` or `tensorrt_rtx`, where both are; None takes the one there is.

    Raises:
        MissingDependencyError: none is installed, or not the one named.
        ConfigError: both are and none was named, or it is older than TensorRT 10.
    """
    if flavour is not None and flavour not in FLAVOURS:
        raise ConfigError(
            f"expected --flavour {' or '.join(FLAVOURS)}, got {flavour!r}; leave it out where one is here"
        )
    wanted = [name for name in FLAVOURS if flavour in (None, name)]
    found = {name: module for name in wanted if (module := _module(name)) is not None}
    if not found:
        package = "tensorrt_rtx" if flavour == "tensorrt_rtx" else flavour or "TensorRT"
        extra = "gpu" if flavour == "tensorrt" else "rtx"
        error = MissingDependencyError(package, "building an engine", extra)
        error.args = (f"{error} (on a Jetson, TensorRT comes with JetPack: sudo apt install nvidia-jetpack)",)
        raise error
    if len(found) > 1:
        raise ConfigError(
            f"expected one TensorRT, got {' and '.join(found)}; say which with --flavour: tensorrt compiles for this "
            "machine, tensorrt_rtx for RTX GPUs anywhere"
        )
    ((name, module),) = found.items()
    return _door(name, module)


@functools.cache  # TensorRT keeps the first logger it gets for the whole process, so there is one
def _door(flavour: Flavour, module: ModuleType) -> Door:
    version = str(module.__version__)
    if flavour == "tensorrt" and int(version.split(".")[0]) < _OLDEST:
        raise ConfigError(
            f"expected TensorRT {_OLDEST} or newer, got {version}; on a Jetson move to JetPack 6.2 (TensorRT 10.3) or "
            "newer, elsewhere pip install 'capgan-edge[gpu]'"
        )
    return Door(flavour, version, module, BuildLog(module))


def _module(name: Flavour) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise _does_not_load(name, error) from error
    except (ImportError, OSError) as error:  # the package is there, a library of it or of CUDA is not
        raise _does_not_load(name, error) from error


def _does_not_load(name: Flavour, error: Exception) -> ConfigError:
    return ConfigError(
        f"expected {name} to load, but: {' '.join(str(error).split())}; reinstall it, and check the driver (nvidia-smi)"
    )


def _refuse_for_rtx(config: EngineConfig) -> None:
    given = {
        "--timing-cache": (config.timing_cache is not None, "TensorRT-RTX times nothing while it builds"),
        "--version-compatible": (config.is_version_compatible, "its engines run in the version that built them alone"),
        "--hardware-compatible": (config.is_hardware_compatible, "its engines are portable: name GPUs with --target"),
    }
    for option, (is_given, why) in given.items():
        if is_given:
            raise ConfigError(f"expected no {option} with tensorrt_rtx, got it: {why}; leave it out")


class BuildLog:
    """What TensorRT said since the last `clear`, in its order; nothing goes to stderr."""

    def __init__(self, trt: Any) -> None:
        self._lines: list[tuple[int, str]] = []
        lines = self._lines

        class Logger(trt.ILogger):  # type: ignore[misc]  # untyped: TensorRT brings no stubs
            def log(self, severity: Any, message: str) -> None:
                lines.append((int(severity), message))

        self._bounds = int(trt.ILogger.ERROR), int(trt.ILogger.WARNING)
        self.logger: Any = Logger()

    def clear(self) -> None:
        """Forget what was said so far."""
        self._lines.clear()

    @property
    def errors(self) -> tuple[str, ...]:
        """Errors, in their order."""
        return tuple(_flat(text) for level, text in self._lines if level <= self._bounds[0] and not _is_echo(text))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings, each once, in their order."""
        said = [_flat(text) for level, text in self._lines if level == self._bounds[1]]
        return tuple(dict.fromkeys(said))


def _is_echo(text: str) -> bool:
    """Whether a message only says that a driver is missing, which no build for another GPU needs."""
    return "catchCudaError" in text


def _flat(text: str) -> str:
    return " ".join(text.split())
