"""A TensorRT plan, deserialised: the one place of the runtime that calls TensorRT or TensorRT-RTX. N frames."""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any, Protocol

from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_edge.runtime.contract import Tensor

FLAVOURS = {"tensorrt": "gpu", "tensorrt_rtx": "rtx"}
"""The modules that run plans, and the extras that bring them."""
NAMES: dict[str, tuple[str, ...]] = {
    "DataType": ("FLOAT", "UINT8"),
    "ICudaEngine": (
        "create_execution_context",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_name",
        "get_tensor_profile_shape",
        "get_tensor_shape",
        "num_io_tensors",
    ),
    "IExecutionContext": ("execute_async_v3", "set_input_shape", "set_tensor_address"),
    "ILogger": ("ERROR", "INTERNAL_ERROR", "WARNING", "log"),
    "Runtime": ("deserialize_cuda_engine", "engine_host_code_allowed"),
    "TensorIOMode": ("INPUT",),
}
"""Every name of TensorRT 10 and later that is used here; each is in both flavours."""
RTX_NAMES = {"IExecutionContext": ("is_stream_capturable",)}
"""Names that TensorRT-RTX alone has: they are taken by `getattr`, and TensorRT goes without."""
_MAX_LINES = 8


class Engine(Protocol):
    """A deserialised engine with one execution context: for one thread at a time, on an active device."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch_range: tuple[int, int]
    """Fewest and most frames that the engine's profile takes at once."""

    def set_batch(self, num_frames: int) -> None:
        """Fix N of the calls to come."""

    def bind(self, name: str, address: int) -> None:
        """Say where in device memory a tensor lies."""

    def enqueue(self, stream: int) -> bool:
        """Queue one inference; False where TensorRT refuses."""

    def can_capture(self, stream: int) -> bool:
        """Say whether a CUDA graph may be captured now."""

    def said(self) -> str:
        """Return the newest warnings and errors of TensorRT, on one line."""

    def close(self) -> None:
        """Free what TensorRT holds."""


def load_flavour(flavour: str) -> Any:
    """Return the module of a TensorRT flavour.

    Raises:
        MissingDependencyError: it is not installed.
        ConfigError: it does not load, or is older than TensorRT 10.
    """
    if flavour not in FLAVOURS:
        raise ConfigError(f"expected an engine of {' or '.join(FLAVOURS)}, got {flavour!r}; build the engine again")
    try:
        trt = importlib.import_module(flavour)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(flavour, "a TensorRT engine", FLAVOURS[flavour]) from error
    except Exception as error:  # its libraries are missing or foreign: OSError, RuntimeError, ImportError
        text = " ".join(str(error).split())
        raise ConfigError(f"expected {flavour} to load, but: {text}; install it again (capgan-edge doctor)") from error
    lacking = [f"{kind}.{name}" for kind, names in NAMES.items() for name in names
               if not hasattr(getattr(trt, kind, None), name)]  # fmt: skip
    if lacking:
        version = getattr(trt, "__version__", "of an unknown version")
        raise ConfigError(
            f"expected TensorRT 10 or newer, got {flavour} {version} without {lacking[0]}; upgrade it, "
            "on a Jetson to JetPack 6.1 or newer"
        )
    return trt


class TrtEngine:
    """An engine in TensorRT or TensorRT-RTX."""

    def __init__(self, plan_bytes: bytes, trt: Any, *, allow_host_code: bool = False) -> None:
        """Deserialise a plan on the active device.

        Args:
            plan_bytes: the plan.
            trt: the module of the flavour that built it.
            allow_host_code: run the code that a version-compatible plan brings along. Only for plans that you trust
                like a program.

        Raises:
            ArtifactError: TensorRT refuses the plan: another version or GPU, or damaged.
        """
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._runtime = trt.Runtime(_collecting_logger(trt, self._lines))
        self._runtime.engine_host_code_allowed = allow_host_code
        self._engine = self._runtime.deserialize_cuda_engine(plan_bytes)
        if self._engine is None:
            raise self._refused("deserialise the plan", "build the engine on this machine (capgan-edge build-engine)")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._refused("make an execution context", "free some GPU memory, or build a smaller batch")
        self.inputs, self.outputs = self._tensors(trt)
        self.batch_range = self._batch_range()

    def set_batch(self, num_frames: int) -> None:
        """Fix N of the calls to come."""
        for tensor in self.inputs:
            shape = (num_frames, *(size or 0 for size in tensor.shape[1:]))
            if not self._context.set_input_shape(tensor.name, shape):
                raise self._refused(f"take {tensor.name} of shape {list(shape)}", "build the engine for this batch")

    def bind(self, name: str, address: int) -> None:
        """Say where in device memory a tensor lies."""
        if not self._context.set_tensor_address(name, address):
            raise self._refused(f"take an address for {name}", "build the engine again")

    def enqueue(self, stream: int) -> bool:
        """Queue one inference; False where TensorRT refuses."""
        return bool(self._context.execute_async_v3(stream))

    def can_capture(self, stream: int) -> bool:
        """Say whether a CUDA graph may be captured: TensorRT-RTX cannot while it compiles, TensorRT does not say."""
        asked = getattr(self._context, "is_stream_capturable", None)
        return asked is None or bool(asked(stream))

    def said(self) -> str:
        """Return the newest warnings and errors of TensorRT, on one line."""
        return " / ".join(" ".join(line.split()) for line in self._lines) or "TensorRT gave no reason"

    def close(self) -> None:
        """Free context, engine and runtime, in this order."""
        self._context = self._engine = self._runtime = None

    def _tensors(self, trt: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        engine = self._engine
        dtypes = {trt.DataType.FLOAT: "float32", trt.DataType.UINT8: "uint8"}
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            dtype, shape = engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name))
            tensor = Tensor(name=name, dtype=dtypes.get(dtype, str(dtype)),
                            shape=tuple(None if size < 0 else int(size) for size in shape))  # fmt: skip
            (inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs).append(tensor)
        return tuple(inputs), tuple(outputs)

    def _batch_range(self) -> tuple[int, int]:
        if not self.inputs:
            return 1, 1
        fewest, _, most = self._engine.get_tensor_profile_shape(self.inputs[0].name, 0)
        return int(fewest[0]), int(most[0])

    def _refused(self, what: str, remedy: str) -> ArtifactError:
        return ArtifactError(f"expected TensorRT to {what}, but: {self.said()}; {remedy}")


def _collecting_logger(trt: Any, lines: deque[str]) -> Any:
    kept = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING)

    class Collecting(trt.ILogger):  # type: ignore[misc, name-defined, unused-ignore]  # a class of a module not typed
        """Keeps what TensorRT says for our own errors: nothing goes to stderr."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in kept:
                lines.append(message)

    return Collecting()
