"""On a real GPU: an engine built for it gives what ONNX Runtime gives, plain and as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from engine_bundle import build_plan, rtx

from capgan_edge.runtime.gpu import first_gpu
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.trt import TrtRunner
from capgan_edge.runtime.trt_engine import TrtEngine

GPU = first_gpu()


@pytest.mark.skipif(GPU is None, reason="needs an NVIDIA GPU")
def test_a_real_engine_has_parity_with_the_cpu_in_every_batch_size(make_model: Callable[..., bytes]) -> None:
    pytest.importorskip("pycuda", reason="needs pycuda: pip install 'capgan-edge[gpu]'")
    from capgan_edge.runtime.cuda_device import open_device

    assert GPU is not None
    target = GPU.sm.replace("sm_", "SM")
    if target not in rtx().ComputeCapability.__members__:
        pytest.skip(f"needs a GPU that TensorRT-RTX builds for, this is {GPU.sm}")
    device = open_device()
    with device.active():
        engine = TrtEngine(build_plan(make_model(), target), rtx())
    rng = np.random.default_rng(0)
    with TrtRunner(engine, device) as runner, OrtRunner(make_model()) as reference:
        for n in (1, 1, 1, 4, 4, 2):
            frames_NHWC = rng.integers(0, 256, (n, 8, 8, 3), np.uint8)
            got, expected = runner(frames_NHWC), reference(frames_NHWC)
            assert np.allclose(got.logits_NK, expected.logits_NK, atol=1e-2)  # TF32 may be at work
            assert np.allclose(got.suspicion_N, expected.suspicion_N, atol=1e-3)
            assert got.purified_NHWC is not None
            assert expected.purified_NHWC is not None
            assert (got.purified_NHWC == expected.purified_NHWC).all()
        counts = runner.counts
        assert counts.plain + counts.graph == 6
        assert counts.graph >= 1 or counts.refused >= 1, f"neither captured nor refused: {counts}"
