"""The probes that may crash or hang: each is run by name in a process of its own, and answers with one line of JSON."""

from __future__ import annotations

import ctypes
import importlib
import json
import resource
import sys
from collections.abc import Callable
from typing import Any

from capgan_edge.doctor.isolated import MARK
from capgan_edge.doctor.tiny_model import FRAMES, RESULT, TINY_MODEL

TENSORRT_NAMES = {"Builder": (), "Logger": ("INTERNAL_ERROR",)}
"""Names of both flavours that a builder is made with; a wrong one here would read as `cannot build`."""
RTX_NAMES = {"ComputeCapability": ("__members__",)}
"""Names that TensorRT-RTX alone has: they are taken by `getattr`, and TensorRT names no targets."""


def imports(name: str) -> str | None:
    """Import a module; return the version that it names."""
    version = getattr(importlib.import_module(name), "__version__", None)
    return None if version is None else str(version)


def providers() -> list[str]:
    """Return what this build of ONNX Runtime offers."""
    from capgan_edge.runtime.ort import available_providers

    return list(available_providers())


def provider(name: str) -> None:
    """Make a session on a provider, run it, and hold the result to what it must be."""
    import numpy as np
    import onnxruntime

    from capgan_edge.runtime.ort import session_options

    session = onnxruntime.InferenceSession(TINY_MODEL, session_options(threads=1), providers=[name], enable_fallback=0)
    used = session.get_providers()
    if used[0] != name:
        raise RuntimeError(f"it is offered, and {used[0]} was used: its driver or its libraries do not load")
    (result,) = session.run(None, {"frames": np.array(FRAMES, np.uint8)})
    if float(result) != RESULT:
        raise RuntimeError(f"expected {RESULT} from a graph of three nodes, got {float(result)}")


def openvino() -> None:
    """Compile a graph in OpenVINO, run it, and hold the result to what it must be."""
    import numpy as np

    core = importlib.import_module("openvino").Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(TINY_MODEL), "CPU", settings)
    result = float(compiled({0: np.array(FRAMES, np.uint8)})[0])
    if result != RESULT:
        raise RuntimeError(f"expected {RESULT} from a graph of three nodes, got {result}")


def tensorrt(flavour: str) -> dict[str, Any]:
    """Load a TensorRT, and try to make a builder."""
    from capgan_edge.runtime.trt_engine import load_flavour

    trt = load_flavour(flavour)
    try:
        can_build = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR)) is not None
    except Exception:  # pybind's, whatever it is: without a GPU the full TensorRT makes none
        can_build = False
    kinds = getattr(trt, "ComputeCapability", None)
    names = None if kinds is None else [name for name in kinds.__members__ if name.startswith("SM")]
    targets = None if names is None else [f"sm_{name[2:]}" for name in names]
    return {"version": str(trt.__version__), "can_build": can_build, "targets": targets}


def gpu() -> dict[str, Any] | None:
    """Return what the driver's library says of the first GPU; None where there is no driver or no GPU."""
    from capgan_edge.runtime.gpu import first_gpu

    found = first_gpu()
    if found is None:
        return None
    version = ctypes.c_int()
    code = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    cuda = None if code != 0 else f"{version.value // 1000}.{version.value % 1000 // 10}"
    return {"name": found.name, "sm": found.sm, "cuda": cuda}


def pycuda() -> dict[str, str]:
    """Open the GPU as the TensorRT runner does."""
    from capgan_edge.runtime.cuda_device import open_device

    device = open_device()
    return {"name": device.name, "sm": device.sm}


PROBES: dict[str, Callable[..., Any]] = {
    probe.__name__: probe for probe in (imports, providers, provider, openvino, tensorrt, gpu, pycuda)
}


def main(name: str, *arguments: str) -> None:
    """Print the answer of a probe, or its problem."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # crashes are expected
    answer: dict[str, Any]
    try:
        answer = {"value": PROBES[name](*arguments)}
    except Exception as error:  # any library may raise anything: that is what is to be told
        answer = {"problem": " ".join(str(error).split())[:300] or type(error).__name__}
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
