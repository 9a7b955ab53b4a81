"""The same pair as two ONNX files in two sessions of ONNX Runtime: what one has who exports purifier and classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.contestant import Contestant, Stopwatch
from capgan_benchmarks.latency.own import Graph
from capgan_benchmarks.latency.victim_graph import two_halves
from capgan_edge.runtime.ort import CPU, session_options


def two_sessions(graph: Graph, threads: int) -> Contestant:
    """Return the fused graph cut at the purified image, each half in a session of its own."""
    import onnxruntime

    first_bytes, second_bytes, image = two_halves(graph.model_bytes)
    options = session_options(threads=threads)
    first, second = (onnxruntime.InferenceSession(each, options, providers=[CPU])
                     for each in (first_bytes, second_bytes))  # fmt: skip
    engine = Stopwatch()

    def call(frames_NHWC: NDArray[np.uint8]) -> Any:
        with engine:
            image_NCHW, _ = first.run([image, "suspicion"], {"frames": frames_NHWC})
            return second.run(["logits"], {image: image_NCHW})[0]

    return Contestant(name="ort-two-sessions", role="peer", runtime="ort", provider=CPU, precision=graph.precision,
                      call=call, engine=engine, artifact=graph.name)  # fmt: skip
