"""A real build with TensorRT-RTX, which takes strongly typed graphs alone and needs no GPU to build."""

from __future__ import annotations

import pytest


def built_size(model_bytes: bytes, size_px: tuple[int, int]) -> int:
    """Return the bytes of the engine; fail with the parser's own words."""
    trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(model_bytes), [str(parser.get_error(index)) for index in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape("frames", (1, *size_px, 3), (1, *size_px, 3), (4, *size_px, 3))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    return int(plan.nbytes)
