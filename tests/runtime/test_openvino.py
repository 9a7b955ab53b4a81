"""OpenVINO runs what ONNX Runtime runs, in the arithmetic that was asked for, and refuses the rest in one line."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from made_once import exported_signs
from numpy.typing import NDArray

from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ArtifactError, CapganError, ConfigError, InputError
from capgan_edge.runtime.openvino import OpenVinoRunner
from capgan_edge.runtime.openvino_unsigned import with_unsigned_activations
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.runner import Outputs, Runner
from capgan_export.fused import GraphOutputs

openvino = pytest.importorskip("openvino", reason="needs openvino: pip install 'capgan-edge[openvino]'")
ModelFactory = Callable[..., bytes]
CAPABILITIES = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
needs_bf16 = pytest.mark.skipif("BF16" not in CAPABILITIES, reason="needs a processor that computes in BF16")


class Graphs(NamedTuple):
    """The packaged pair in both precisions, and frames that it knows."""

    fp32: bytes
    int8: bytes
    frames_NHWC: Any


@pytest.fixture(scope="module")
def signs_nano(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)
    fp32 = exported_signs(tmp_path_factory, outputs).read_artifact("fp32")
    frames_NHWC = load_signs("test", size_px=32, n=32).images_NHWC
    ranges = measure_ranges(fp32, frames_NHWC, RangeConfig())
    return Graphs(fp32, int8_from_fp32(fp32, ranges).model_bytes, frames_NHWC)


def both(model_bytes: bytes, frames_NHWC: Any, *, arithmetic: str = "f32") -> tuple[Outputs, Outputs]:
    """Return what OpenVINO and ONNX Runtime give."""
    with OpenVinoRunner(model_bytes, arithmetic=arithmetic, threads=1) as runner, OrtRunner(model_bytes) as reference:
        return runner(frames_NHWC), reference(frames_NHWC)


def furthest(held: Outputs, wanted: Outputs) -> float:
    return float(np.abs(held.logits_NK - wanted.logits_NK).max())


def test_an_fp32_graph_gives_what_onnx_runtime_gives(signs_nano: Graphs) -> None:
    held, wanted = both(signs_nano.fp32, signs_nano.frames_NHWC)
    assert furthest(held, wanted) < 1e-4
    assert np.abs(held.suspicion_N - wanted.suspicion_N).max() < 1e-5
    for name in ("purified_NHWC", "raw_logits_NK"):
        assert np.abs(getattr(held, name) - getattr(wanted, name).astype(float)).max() <= 1, name


def test_an_int8_graph_gives_the_labels_that_onnx_runtime_gives(signs_nano: Graphs) -> None:
    held, wanted = both(signs_nano.int8, signs_nano.frames_NHWC)
    is_sure_N = np.ptp(np.sort(wanted.logits_NK, axis=1)[:, -2:], axis=1) > 1  # others may go either way
    assert is_sure_N.mean() > 0.8
    assert (held.logits_NK.argmax(1) == wanted.logits_NK.argmax(1))[is_sure_N].all()
    assert furthest(held, wanted) < 0.5, "activations a step apart, where FP32 around them rounds otherwise"


@pytest.mark.parametrize("graph", ["fp32", "int8"])
def test_floating_point_is_fp32_unless_asked_for_otherwise(graph: str, signs_nano: Graphs) -> None:
    with OpenVinoRunner(getattr(signs_nano, graph), threads=1) as runner:
        runner(signs_nano.frames_NHWC[:3])
        for batch in (1, 3):
            assert runner.property_of("INFERENCE_PRECISION_HINT", batch=batch) == openvino.Type.f32
        assert runner.property_of("INFERENCE_NUM_THREADS") == 1
        assert str(runner.property_of("PERFORMANCE_HINT")).endswith("LATENCY")


@needs_bf16
def test_bf16_is_really_bf16(signs_nano: Graphs) -> None:
    with OpenVinoRunner(signs_nano.fp32, arithmetic="bf16", threads=1) as runner:
        assert runner.property_of("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    held, wanted = both(signs_nano.fp32, signs_nano.frames_NHWC, arithmetic="bf16")
    assert 1e-3 < furthest(held, wanted) < 0.5


@pytest.mark.skipif("FP16" in CAPABILITIES, reason="needs a processor that does not compute in FP16")
def test_an_arithmetic_that_the_processor_lacks_is_refused_and_not_replaced(make_model: ModelFactory) -> None:
    with pytest.raises(ConfigError, match=r"computes in float16, but OpenVINO takes (bf16|f32) instead"):
        OpenVinoRunner(make_model(), arithmetic="f16")


def test_every_batch_size_gives_every_output(make_model: ModelFactory) -> None:
    runner: Runner = OpenVinoRunner(make_model(), threads=1)
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    with runner:
        for n in (3, 0, 1, 5, 7, 2, 9, 4, 6, 3):  # more sizes than get a model of their own
            outputs = runner(frames_NHWC[:n])
            assert np.allclose(outputs.logits_NK, 10 * frames_NHWC[:n].mean(axis=(1, 2)) / 255, atol=1e-4), n
            assert outputs.suspicion_N.shape == (n,)
            assert outputs.raw_logits_NK is not None
            assert np.allclose(outputs.raw_logits_NK, -outputs.logits_NK)
            assert outputs.purified_NHWC is not None
            assert (outputs.purified_NHWC == 255 - frames_NHWC[:n]).all()


def test_arrays_are_fresh_and_frames_may_lie_anyhow(make_model: ModelFactory) -> None:
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    frames_NHWC.flags.writeable = False
    with OpenVinoRunner(make_model(outputs=("suspicion", "logits"))) as runner:
        first = runner(frames_NHWC[:4])
        kept = first.logits_NK.copy()
        flipped = runner(frames_NHWC[::-2])
        assert (first.logits_NK == kept).all()
        assert np.allclose(flipped.logits_NK, 10 * frames_NHWC[::-2].mean(axis=(1, 2)) / 255, atol=1e-4)
        assert first.purified_NHWC is None
        assert first.raw_logits_NK is None


def test_several_threads_may_share_a_runner(make_model: ModelFactory) -> None:
    frames = [np.full((1 + index % 3, 8, 8, 3), index, np.uint8) for index in range(60)]
    with OpenVinoRunner(make_model(), threads=1) as runner, ThreadPoolExecutor(4) as pool:
        for index, outputs in enumerate(pool.map(runner, frames)):
            assert np.allclose(outputs.suspicion_N, index / 255, atol=1e-5)


def test_frames_that_the_graph_does_not_take_are_refused(make_model: ModelFactory) -> None:
    with OpenVinoRunner(make_model()) as runner:
        for frames in (np.zeros((1, 9, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32), np.zeros((8, 8, 3))):
            with pytest.raises(InputError, match=r"takes uint8 frames \[N, 8, 8, 3\]"):
                runner(frames)  # type: ignore[arg-type]


def test_settings_out_of_range_are_refused(make_model: ModelFactory) -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        OpenVinoRunner(make_model(), threads=0)
    with pytest.raises(ConfigError, match="one of f32, bf16, f16, got 'f64'"):
        OpenVinoRunner(make_model(), arithmetic="f64")


def test_a_graph_that_breaks_the_contract_is_refused(make_model: ModelFactory) -> None:
    for options in ({"input_name": "image"}, {"batch": 4}, {"outputs": ("logits",)}):
        with pytest.raises(ArtifactError, match="the graph: expected"):
            OpenVinoRunner(make_model(**options))


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x0a" * 50], ids=["empty", "text", "noise"])
def test_bytes_that_are_no_model_are_refused_in_one_line(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArtifactError, match="expected an ONNX model") as caught:
        OpenVinoRunner(data)
    assert "\n" not in str(caught.value)
    assert "src/" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(make_model: ModelFactory) -> None:
    with pytest.raises(ArtifactError):
        OpenVinoRunner(make_model()[:-40])


def test_a_closed_runner_refuses_calls(make_model: ModelFactory) -> None:
    runner = OpenVinoRunner(make_model(), threads=1)
    runner.close()
    runner.close()
    with pytest.raises(CapganError, match="closed"):
        runner(np.zeros((1, 8, 8, 3), np.uint8))


def test_compiled_models_are_kept_where_a_folder_for_them_is_named(make_model: ModelFactory, tmp_path: Path) -> None:
    frames_NHWC = np.full((2, 8, 8, 3), 51, np.uint8)
    for _ in range(2):
        with OpenVinoRunner(make_model(), threads=1, cache_dir=tmp_path / "cache") as runner:
            assert np.allclose(runner(frames_NHWC).suspicion_N, 0.2)
            assert runner.property_of("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert len(list((tmp_path / "cache").iterdir())) == 2, "one a batch size, made once"


def in_floating_point(model: Any, frames_NHWC: NDArray[Any]) -> NDArray[Any]:
    """Return the logits with nothing multiplied in INT8: FakeQuantize rounds, and products are FP32."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return np.array(request.infer({0: frames_NHWC})["logits"])


def stored_types(model: Any) -> list[str]:
    """Return the types that quantised activations have."""
    readers = [target.get_node() for op in model.get_ops() if op.get_type_name() == "FakeQuantize"
               for target in op.output(0).get_target_inputs()]  # fmt: skip
    return sorted({each.get_output_element_type(0).get_type_name() for each in readers
                   if each.get_type_name() == "Convert"})  # fmt: skip


def test_every_activation_is_unsigned_and_stands_for_the_same_value(signs_nano: Graphs) -> None:
    frames_NHWC, core = signs_nano.frames_NHWC, openvino.Core()
    signed, unsigned = core.read_model(signs_nano.int8), with_unsigned_activations(core.read_model(signs_nano.int8))
    assert stored_types(signed) == ["i8"]
    assert stored_types(unsigned) == ["u8"]
    np.testing.assert_allclose(in_floating_point(unsigned, frames_NHWC), in_floating_point(signed, frames_NHWC),
                               atol=1e-3)  # fmt: skip


def test_a_graph_without_quantised_values_is_left_as_it_is(signs_nano: Graphs) -> None:
    model = openvino.Core().read_model(signs_nano.fp32)
    before = [op.get_friendly_name() for op in model.get_ops()]
    assert [op.get_friendly_name() for op in with_unsigned_activations(model).get_ops()] == before


def test_an_activation_that_is_read_otherwise_stays_signed() -> None:
    ops = importlib.import_module("openvino.opset13")
    given = ops.parameter([2, 3], np.float32)
    quantised = ops.fake_quantize(given, np.float32(-1), np.float32(1), np.float32(-128), np.float32(127), 256)
    stored = ops.convert(quantised, "i8")
    value = ops.subtract(ops.convert(stored, "f32"), np.float32(0))
    model = openvino.Model([ops.multiply(value, np.float32(1 / 127)), ops.relu(quantised)], [given], "read twice")
    assert stored_types(with_unsigned_activations(model)) == ["i8"]


@pytest.mark.parametrize(("zero_point", "levels", "low"), [(5, 256, -128), (-128, 256, -128), (0, 255, -127)])
def test_values_that_are_not_quantised_around_zero_stay_as_they_are(zero_point: int, levels: int, low: int) -> None:
    ops = importlib.import_module("openvino.opset13")
    given = ops.parameter([2, 3], np.float32)
    ends = (np.float32(-1), np.float32(1), np.float32(low), np.float32(127))
    stored = ops.convert(ops.fake_quantize(given, *ends, levels), "i8")
    value = ops.subtract(ops.convert(stored, "f32"), np.float32(zero_point))
    model = openvino.Model([ops.multiply(value, np.float32(1 / 127))], [given], "another zero")
    assert stored_types(with_unsigned_activations(model)) == ["i8"]


def test_values_in_fp16_stay_as_they_are_and_the_graph_is_whole() -> None:
    ops = importlib.import_module("openvino.opset13")
    given = ops.parameter([2, 3], np.float32)
    ends = (np.float32(-1), np.float32(1), np.float32(-128), np.float32(127))
    stored = ops.convert(ops.fake_quantize(given, *ends, 256), "i8")
    value = ops.subtract(ops.convert(stored, "f16"), np.float16(0))
    model = openvino.Model([ops.multiply(value, np.float16(1 / 127))], [given], "half")
    assert stored_types(with_unsigned_activations(model)) == ["i8"]
