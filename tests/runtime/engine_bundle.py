"""Engines for tests: real plans of the tiny graph, built by TensorRT-RTX without a GPU, and bundles that hold them."""

from __future__ import annotations

import functools
from typing import Any, Literal

import pytest

from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.sidecar import EngineSidecar, Profile, engine_record, json_from_sidecar


def rtx() -> Any:
    """Return TensorRT-RTX, or skip."""
    return pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")


@functools.cache
def build_plan(model_bytes: bytes, target: str = "SM86") -> bytes:
    """Compile a tiny graph for an architecture, batches of 1 to 4."""
    trt = rtx()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model_bytes)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("frames", (1, 8, 8, 3), (1, 8, 8, 3), (4, 8, 8, 3))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[target], 0)
    return bytes(builder.build_serialized_network(network, config))


def add_engine(
    bundle: Bundle,
    plan: bytes,
    *,
    precision: Literal["fp32", "fp16", "int8"] = "fp16",
    **changes: Any,
) -> Bundle:
    """Return the bundle with an engine of this name and precision more; `changes` are to its sidecar."""
    name = f"engines/{precision}"
    facts: dict[str, Any] = {
        "source": "model.fp32.onnx",
        "source_sha256": bundle.manifest.files["model.fp32.onnx"].sha256,
        "precision": precision,
        "profile": Profile(min=1, opt=1, max=4),
        "flavour": "tensorrt_rtx",
        "version": rtx().__version__,
        "targets": ("sm_86",),
        "device": None,
        "flags": ("STRONGLY_TYPED",),
        "sha256": sha256_of_bytes(plan),
        "size_bytes": len(plan),
        "num_network_layers": 8,
        "num_layers": None,
        "num_casts": None,
        "num_reformats": None,
        "seconds": 0.1,
        "created": "2025-06-01T12:00:00+00:00",
        "rebuild": "capgan-edge build-engine BUNDLE --fp16",
    }
    sidecar = EngineSidecar(**{**facts, **changes})
    record = engine_record(sidecar, f"{name}.json")
    with locked(bundle.path) as held:
        engines = {**held.manifest.engines, f"{name}.plan": record}
        files = {f"{name}.plan": plan, f"{name}.json": json_from_sidecar(sidecar)}
        return grow_bundle(held, held.manifest.model_copy(update={"engines": engines}), files)
