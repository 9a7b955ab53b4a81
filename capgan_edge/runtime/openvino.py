"""OpenVINO on the CPU as a runner: the arithmetic asked for is the arithmetic used, or it is an error."""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, CapganError, ConfigError, MissingDependencyError
from capgan_edge.hardware import is_x86, sums_int8_exactly
from capgan_edge.runtime.contract import Tensor, check_contract
from capgan_edge.runtime.openvino_unsigned import with_unsigned_activations
from capgan_edge.runtime.runner import Outputs, failed_call, outputs_from
from capgan_edge.runtime.self_contained import refuse_outside_weights

ARITHMETICS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""What OpenVINO may compute floating point in, by its own names, and what it then says that it does."""
_MAX_SIZES = 4
"""Batch sizes that get a model of their own. It is faster than one of a free batch, and costs a copy of the weights."""


def is_installed() -> bool:
    """Return whether OpenVINO can be imported here."""
    try:
        _openvino()
    except MissingDependencyError:
        return False
    return True


def version() -> str:
    """Return the version of the OpenVINO that is installed, e.g. `2026.4.1`."""
    release: str = _openvino().get_version().partition("-")[0]
    return release


class OpenVinoRunner:
    """A fused graph in OpenVINO. Several threads may call one runner; every call returns fresh arrays.

    OpenVINO would compute an FP32 graph in BF16 wherever the processor can, and where it lacks an arithmetic would take
    another without a word: so it is always told which, and what it then says of itself is held to that. What Q/DQ nodes
    quantise is multiplied in INT8 where that is exact: on x86 with VNNI or AMX, of activations written as unsigned. On
    x86 without them its kernels saturate (attacked frames then get other labels than on an engine), and the values are
    rounded as the nodes say and multiplied in FP32.
    """

    def __init__(
        self,
        model_bytes: bytes,
        *,
        arithmetic: str = "f32",
        threads: int | None = None,
        cache_dir: Path | None = None,
        is_profiled: bool = False,
    ) -> None:
        """Load a graph.

        Args:
            model_bytes: of the ONNX file; what Q/DQ nodes quantise is in INT8, whatever `arithmetic` says.
            arithmetic: of floating point: `f32`, `bf16` or `f16`.
            threads: CPU threads of one call; None leaves it to OpenVINO.
            cache_dir: folder where OpenVINO keeps compiled models from one start to the next. It trusts what it finds
                there like a program, and no hash of the bundle vouches for it; None keeps none.
            is_profiled: time every operator, for `operator_times`; it makes calls slower.

        Raises:
            ConfigError: the processor lacks this arithmetic, or a setting is out of range.
            ArtifactError: the bytes are no ONNX model, or one that breaks the graph contract.
            MissingDependencyError: OpenVINO is not installed.
        """
        if arithmetic not in ARITHMETICS:
            raise ConfigError(f"arithmetic is one of {', '.join(ARITHMETICS)}, got {arithmetic!r}; choose one of these")
        if threads is not None and threads < 1:
            raise ConfigError(
                f"threads is a count of at least 1, got {threads}; leave it out for OpenVINO's own choice"
            )
        refuse_outside_weights(model_bytes)
        self.arithmetic = arithmetic
        self.providers = ("OpenVINO CPU",)
        self._settings = _settings(arithmetic, threads, cache_dir) | ({"PERF_COUNT": "YES"} if is_profiled else {})
        self._core = _openvino().Core()
        model = _model_from_bytes(self._core, model_bytes)
        self.contract = check_contract(_tensors(model.inputs), _tensors(model.outputs))
        self.has_int8_products = sums_int8_exactly()
        if not self.has_int8_products and any(op.get_type_name() == "FakeQuantize" for op in model.get_ops()):
            self._settings["LP_TRANSFORMS_MODE"] = "NO"
        if self.has_int8_products and is_x86():
            with_unsigned_activations(model)
        self._model: Any | None = model
        self._turn = threading.Lock()
        self._compiled: dict[int | None, _Compiled] = {1: self._compile(1)}

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        self.contract.refuse_other_frames(frames_NHWC)
        held = self._compiled_for(len(frames_NHWC))
        try:
            arrays = held.run(np.ascontiguousarray(frames_NHWC))
        except RuntimeError as error:
            raise failed_call(len(frames_NHWC), _first_line(error)) from error
        return outputs_from(dict(zip(self.contract.output_names, arrays, strict=True)))

    def property_of(self, name: str, *, batch: int | None = 1) -> Any:
        """Return what OpenVINO says of the model that it compiled for a batch size, e.g. `INFERENCE_NUM_THREADS`."""
        return self._compiled[batch].model.get_property(name)

    def operator_times(self, *, batch: int) -> list[tuple[str, str, float]]:
        """Return name, kind with its kernel, and milliseconds of each operator that ran in the last call of this size.

        The runner must be profiled; no other thread may call it meanwhile.
        """
        return self._compiled[batch].operator_times()

    def close(self) -> None:
        """Free the compiled models; calls already running finish."""
        with self._turn:
            self._model = None
            self._compiled = {}

    def __enter__(self) -> OpenVinoRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _compiled_for(self, num_frames: int) -> _Compiled:
        """Return the model of this batch size: its own for the first few sizes that come, one of a free batch after."""
        with self._turn:
            if self._model is None:
                raise CapganError("expected an open runner, got one that was closed; load the bundle again")
            has_own = num_frames in self._compiled or (num_frames > 0 and len(self._compiled) < _MAX_SIZES)
            size = num_frames if has_own else None
            if size not in self._compiled:
                self._compiled[size] = self._compile(size)
            return self._compiled[size]

    def _compile(self, batch: int | None) -> _Compiled:
        """Compile for a batch size, or for a free batch, and hold OpenVINO to the arithmetic that it was asked for."""
        model = self._model
        assert model is not None
        if batch is not None:
            model = model.clone()
            model.reshape({"frames": [batch, *self.contract.size_px, 3]})
        try:
            compiled = self._core.compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise ArtifactError(
                f"expected an ONNX model that OpenVINO can compile, but: {_first_line(error)}; "
                "export it again, or choose another backend"
            ) from error
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != self.arithmetic:
            has = ", ".join(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
            raise ConfigError(
                f"expected a processor that computes in {ARITHMETICS[self.arithmetic]}, but OpenVINO takes {used} "
                f"instead (it offers {has} here); choose another precision, or another backend"
            )
        return _Compiled(compiled)


class _Compiled:
    """A compiled model, with requests to run it that are idle: one for every thread that ever called at once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._num_outputs = len(model.outputs)
        self._idle: deque[Any] = deque()

    def run(self, frames_NHWC: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return fresh arrays, in the order of the model's outputs."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self.model.create_infer_request()
        held = request.infer({0: frames_NHWC}, share_inputs=True)
        arrays = [held[index] for index in range(self._num_outputs)]
        self._idle.append(request)
        return arrays

    def operator_times(self) -> list[tuple[str, str, float]]:
        """Return name, kind and milliseconds of what the last request ran."""
        return [(each.node_name, f"{each.node_type} {each.exec_type}", 1000 * each.real_time.total_seconds())
                for each in self._idle[-1].profiling_info
                if str(each.status) == "Status.EXECUTED"]  # fmt: skip


def _openvino() -> Any:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingDependencyError("openvino", "the backend openvino", "openvino") from error


def _settings(arithmetic: str, threads: int | None, cache_dir: Path | None) -> dict[str, str | int]:
    settings: dict[str, str | int] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": arithmetic,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # what is quantised is in the graph, and nothing else is
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    if cache_dir is not None:
        settings["CACHE_DIR"] = str(cache_dir)
    return settings


def _model_from_bytes(core: Any, model_bytes: bytes) -> Any:
    try:
        return core.read_model(model_bytes)
    except RuntimeError as error:
        raise ArtifactError(
            f"expected an ONNX model that OpenVINO can load, but: {_first_line(error)}; "
            "export it again, or choose another backend"
        ) from error


def _tensors(ports: Sequence[Any]) -> list[Tensor]:
    return [
        Tensor(
            name=port.get_any_name(),
            dtype=port.get_element_type().to_dtype().name,
            shape=tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()),
        )
        for port in ports
    ]


def _first_line(error: Exception) -> str:
    """Return what went wrong, without the places in OpenVINO's own source."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from src/")]
    text = " ".join(" ".join(lines).split()) or "OpenVINO gives no reason"
    return text if len(text) <= 200 else text[:197] + "..."
