"""ONNX Runtime as a runner: the provider asked for is the provider used, or it is an error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, CapganError, ConfigError, MissingDependencyError
from capgan_edge.runtime.contract import Tensor, check_contract
from capgan_edge.runtime.runner import Outputs, failed_call, outputs_from

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_SILENT = 4
"""ONNX Runtime's log level `fatal`: what goes wrong is raised here, once."""
_DTYPE_OF = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def available_providers() -> tuple[str, ...]:
    """Return the execution providers that this build of ONNX Runtime offers."""
    providers: list[str] = _onnxruntime().get_available_providers()
    return tuple(providers)


class OrtRunner:
    """A fused graph in ONNX Runtime. Several threads may call one runner; every call returns fresh arrays."""

    def __init__(
        self,
        model_bytes: bytes,
        *,
        providers: Sequence[str] = (CPU,),
        threads: int | None = None,
    ) -> None:
        """Load a graph.

        Raises:
            ConfigError: a provider that this machine does not offer, or that does not load here.
            ArtifactError: the bytes are no ONNX model, or one that breaks the graph contract.
        """
        session = _session_from_bytes(model_bytes, providers, threads)
        self.contract = check_contract(_tensors(session.get_inputs()), _tensors(session.get_outputs()))
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self._session: onnxruntime.InferenceSession | None = session

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        session = self._session
        if session is None:
            raise CapganError("expected an open runner, got one that was closed; load the bundle again")
        self.contract.refuse_other_frames(frames_NHWC)
        try:
            arrays = session.run(self.contract.output_names, {"frames": frames_NHWC})
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise failed_call(len(frames_NHWC), _first_line(error)) from error
        return outputs_from(dict(zip(self.contract.output_names, arrays, strict=True)))

    def close(self) -> None:
        """Free the session; calls already running finish."""
        self._session = None

    def __enter__(self) -> OrtRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "running a bundle", "cpu") from error
    return onnxruntime


def session_options(*, threads: int | None = None) -> Any:
    """Return ONNX Runtime's options for a graph that must be whole in itself: no file beside it is ever read.

    Weights in other files were never hashed; left alone, ONNX Runtime takes them from the working directory.

    What Q/DQ nodes quantise is rounded as they say and multiplied in FP32. Left alone, ONNX Runtime fuses them to INT8
    kernels: on x86 without VNNI those of Gemm and MatMul add pairs of products in 16 bits, which saturates, and logits
    are then off by a third of their range without a word. An engine does not saturate, so what is checked here would
    not be what is compiled. Convolutions it does not fuse on x86, but dequantises their weights anew in every call,
    which this spares. (`session.x64quantprecision` does not saturate either, but no graph loads with it whose layers
    share weights, as a classifier's do that gives raw logits too.)
    """
    options = _onnxruntime().SessionOptions()
    options.log_severity_level = _SILENT
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _session_from_bytes(
    model_bytes: bytes, providers: Sequence[str], threads: int | None
) -> onnxruntime.InferenceSession:
    if threads is not None and threads < 1:
        raise ConfigError(
            f"threads is a count of at least 1, got {threads}; leave it out for ONNX Runtime's own choice"
        )
    offered = available_providers()
    if not providers or not set(providers) <= set(offered):
        raise ConfigError(
            f"expected providers among {', '.join(offered)}, got {', '.join(providers) or 'none'}; "
            "choose one of these, or install the build of onnxruntime that has it"
        )
    options = session_options(threads=threads)
    try:
        session = _onnxruntime().InferenceSession(model_bytes, options, providers=list(providers), enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ArtifactError(
            f"expected an ONNX model that ONNX Runtime can load on {providers[0]}, but: {_first_line(error)}; "
            "export it again, or choose another backend"
        ) from error
    used = session.get_providers()
    if used[0] != providers[0]:
        raise ConfigError(
            f"expected {providers[0]} to run the graph, got {used[0]}: {providers[0]} is offered but does not "
            "load here; check its driver and libraries, or choose another backend"
        )
    return session


def _tensors(nodes: Sequence[Any]) -> list[Tensor]:
    return [
        Tensor(
            name=node.name,
            dtype=_DTYPE_OF.get(node.type, node.type),
            shape=tuple(size if isinstance(size, int) else None for size in node.shape),
        )
        for node in nodes
    ]


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
