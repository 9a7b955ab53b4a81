"""signs-nano: the packaged pair, test images, its graphs in FP32 and INT8, and its INT8 graph as an artifact."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_once import exported_signs

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.defended import Defended, defended_from_source
from capgan_benchmarks.threats.graph_twin import GraphTwin
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import GraphOutputs
from capgan_export.source import Source, find_source


@pytest.fixture(scope="session")
def signs_source() -> Source:
    return find_source("signs-nano")


@pytest.fixture(scope="session")
def defended(signs_source: Source) -> Defended:
    return defended_from_source(signs_source)


@pytest.fixture(scope="session")
def sign_images() -> ImageSet:
    return load_signs("test", size_px=32, n=24)


@pytest.fixture(scope="session")
def fp32_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return exported_signs(tmp_path_factory, GraphOutputs(has_purified=True)).read_artifact("fp32")


@pytest.fixture(scope="session")
def scales(fp32_bytes: bytes) -> dict[str, float]:
    """Ranges that clip a thousandth, so that quantisation is seen in the logits."""
    frames_NHWC = load_signs("train", size_px=32, n=32).images_NHWC
    return measure_ranges(fp32_bytes, frames_NHWC, RangeConfig(method="percentile", percentile=99.9))


@pytest.fixture(scope="session")
def int8_bytes(fp32_bytes: bytes, scales: dict[str, float]) -> bytes:
    return int8_from_fp32(fp32_bytes, scales, keep_ends=False).model_bytes


@pytest.fixture(scope="session")
def int8_twin(int8_bytes: bytes) -> GraphTwin:
    return GraphTwin(int8_bytes)


@pytest.fixture(scope="session")
def int8_artifact(int8_bytes: bytes) -> Iterator[Artifact]:
    with OrtRunner(int8_bytes) as runner:
        yield Artifact(name="model.int8.onnx", sha256=sha256_of_bytes(int8_bytes), runner=runner, device="a CPU",
                       batch_range=(1, 32))  # fmt: skip
