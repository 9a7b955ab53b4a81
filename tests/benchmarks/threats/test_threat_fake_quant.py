"""The torch twin of an INT8 graph says what ONNX Runtime says, has gradients, and its attacks reach the artifact."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.artifact_fake_quant import ArtifactFakeQuant
from capgan_benchmarks.threats.crafting import images_as_floats, rows_of
from capgan_benchmarks.threats.graph_twin import GraphTwin
from capgan_benchmarks.threats.quantised_ops import dequantize_linear, quantize_linear, resize
from capgan_calibration.qdq import int8_from_fp32
from capgan_edge.attacks import FGSM, PGD
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair
from capgan_export.precision.rounding import rounded_twin


def logits_by_ort(model_bytes: bytes, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    with OrtRunner(model_bytes) as runner:
        return runner(frames_NHWC).logits_NK


def logits_by_twin(model_bytes: bytes, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        return GraphTwin(model_bytes)(images_as_floats(frames_NHWC)).numpy()


@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_the_twin_says_what_onnx_runtime_says_of_the_int8_graph(
    rest: str, fp32_bytes: bytes, scales: dict[str, float], sign_images: ImageSet
) -> None:
    int8_bytes = int8_from_fp32(fp32_bytes, scales, rest=rest).model_bytes
    as_computed = int8_bytes if rest == "fp32" else rounded_twin(int8_bytes)
    frames_NHWC = sign_images.images_NHWC
    wanted_NK, fp32_NK = logits_by_ort(as_computed, frames_NHWC), logits_by_ort(fp32_bytes, frames_NHWC)
    twin_NK = logits_by_twin(int8_bytes, frames_NHWC)
    lost = float(np.abs(wanted_NK - fp32_NK).mean())
    assert lost > 0.1, "quantisation moves logits here"
    assert np.abs(twin_NK - wanted_NK).mean() < lost / 8, "and the twin moves them alike: a level may flip, not more"
    assert (twin_NK.argmax(1) == wanted_NK.argmax(1)).all()


def test_every_op_of_a_graph_of_the_papers_kind_has_a_twin() -> None:
    torch.manual_seed(0)
    purifier = Purifier(PurifierConfig(ngf=4, num_blocks=1, attention="gap+gmp")).eval().requires_grad_(False)
    module = SimpleResNet(5, units_per_stage=1).eval().requires_grad_(False)
    victim = victim_from_module(module, {"kind": "simple-resnet", "name": "tiny"}, size_px=(16, 16))
    graph = graph_from_pair(purifier, victim, size_px=(16, 16), outputs=GraphOutputs(), properties={})
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert logits_by_twin(graph, frames_NHWC) == pytest.approx(logits_by_ort(graph, frames_NHWC), rel=1e-3, abs=1e-4)


class Quantiser(NamedTuple):
    name: str
    scale: NDArray[np.float32]
    zero_point: NDArray[np.generic]


QUANTISERS = [Quantiser("symmetric", np.float32(0.07), np.array(0, np.int8)),
              Quantiser("shifted", np.float32(0.03), np.array(7, np.uint8)),
              Quantiser("a channel", np.float32([0.01, 0.5]), np.array([0, 0], np.int8))]  # fmt: skip


@pytest.mark.parametrize("case", QUANTISERS, ids=lambda case: case.name)
@settings(max_examples=25, deadline=None)
@given(x_BC=arrays(np.float32, (3, 2), elements=st.floats(-9, 9, width=32)))
def test_quantising_is_onnx_runtimes_to_the_last_level(case: Quantiser, x_BC: NDArray[np.float32]) -> None:
    weights = [numpy_helper.from_array(np.asarray(case.scale), "s"), numpy_helper.from_array(case.zero_point, "z")]
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1)]  # fmt: skip
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 2]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "qdq", values[:1], values[1:], weights),
                              opset_imports=[helper.make_opsetid("", 20)], ir_version=10)  # fmt: skip
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted_BC,) = session.run(["y"], {"x": x_BC})
    own = [torch.from_numpy(np.asarray(case.scale)), torch.from_numpy(case.zero_point)]
    levels_BC = quantize_linear([torch.from_numpy(x_BC), *own], {"axis": 1})
    assert (dequantize_linear([levels_BC, *own], {"axis": 1}).numpy() == wanted_BC).all()


def test_the_gradient_goes_straight_through_rounding_and_is_none_where_the_value_is_clipped() -> None:
    x = torch.tensor([0.26, -0.31, 12.8, -12.9], requires_grad=True)
    own = [torch.tensor(0.1), torch.tensor(0, dtype=torch.int8)]
    (
        dequantize_linear([quantize_linear([x, *own], {}), *own], {}) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    ).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1.0, 2.0, 0.0, 0.0])


def test_frames_are_rounded_before_the_graph_sees_them(int8_twin: GraphTwin, sign_images: ImageSet) -> None:
    x_NCHW = images_as_floats(sign_images.images_NHWC[:4])
    assert (int8_twin(x_NCHW + 0.4 / 255) == int8_twin(x_NCHW)).all()


def test_gradients_through_the_twin_fool_the_artifact(
    int8_twin: GraphTwin, int8_artifact: Artifact, sign_images: ImageSet
) -> None:
    scenario = ArtifactFakeQuant(twin=int8_twin, artifact=int8_artifact)
    images = rows_of(sign_images, slice(12))
    crafted = scenario.craft(PGD(epsilon=16 / 255, steps=6), images)
    assert 0 < np.abs(crafted.frames_NHWC.astype(int) - images.images_NHWC).max() <= 16
    assert crafted.queries_N.tolist() == crafted.gradients_N.tolist() == [6] * 12
    num_right = [int((scenario.labels_of(frames) == images.labels_N).sum())
                 for frames in (images.images_NHWC, crafted.frames_NHWC)]  # fmt: skip
    assert num_right[1] <= num_right[0] / 2
    assert abs(num_right[1] - crafted.rounding.num_right_rounded) <= 1, "twin and artifact agree on what was crafted"
    assert (crafted.scenario, crafted.settings["temperature"]) == ("artifact-fake-quant", 1.0)


def test_a_temperature_divides_the_logits_that_the_attack_sees(
    int8_twin: GraphTwin, int8_artifact: Artifact, sign_images: ImageSet
) -> None:
    images = rows_of(sign_images, slice(4))
    x_BCHW = images_as_floats(images.images_NHWC).requires_grad_()
    y_B = torch.from_numpy(images.labels_N)
    loss = torch.nn.functional.cross_entropy(int8_twin(x_BCHW) / 30, y_B, reduction="sum")
    moved_BHWC = torch.autograd.grad(loss, x_BCHW)[0].sign().permute(0, 2, 3, 1).numpy().astype(int)
    warm = ArtifactFakeQuant(twin=int8_twin, artifact=int8_artifact, temperature=30.0).craft(FGSM(), images)
    cold = ArtifactFakeQuant(twin=int8_twin, artifact=int8_artifact).craft(FGSM(), images)
    assert (warm.frames_NHWC == (images.images_NHWC + 8 * moved_BHWC).clip(0, 255)).mean() > 0.999
    assert (warm.frames_NHWC != cold.frames_NHWC).any()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(
    temperature: float, int8_twin: GraphTwin, int8_artifact: Artifact
) -> None:
    with pytest.raises(ConfigError, match="temperature above 0"):
        ArtifactFakeQuant(twin=int8_twin, artifact=int8_artifact, temperature=temperature)


def test_a_graph_without_scales_of_its_own_is_refused(fp32_bytes: bytes, int8_artifact: Artifact) -> None:
    with pytest.raises(ConfigError, match="use artifact-transfer"):
        ArtifactFakeQuant(twin=GraphTwin(fp32_bytes), artifact=int8_artifact)


def graph_of(*nodes: onnx.NodeProto, output: str = "logits") -> bytes:
    values = [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", 4, 4, 3]),
              helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 4, 4, 3])]  # fmt: skip
    graph = helper.make_graph(list(nodes), "small", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


CAST = helper.make_node("Cast", ["frames"], ["x"], to=TensorProto.FLOAT)


class Refused(NamedTuple):
    name: str
    model_bytes: bytes
    error: type[Exception]
    message: str


REFUSED = [
    Refused("no graph", b"plan", ArtifactError, "expected an ONNX graph"),
    Refused("no logits", graph_of(CAST, helper.make_node("Relu", ["x"], ["y"]), output="y"), ArtifactError,
            "from frames to y"),
    Refused("an unknown op", graph_of(CAST, helper.make_node("Celu", ["x"], ["logits"])), ConfigError,
            "got Celu; use artifact-query"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_graph_without_a_twin_is_refused_in_a_line(case: Refused) -> None:
    with pytest.raises(case.error, match=case.message) as caught:
        GraphTwin(case.model_bytes)
    assert "\n" not in str(caught.value)


def test_a_setting_of_an_op_without_a_twin_is_refused_when_it_runs() -> None:
    backwards = helper.make_node("Cast", ["x"], ["logits"], to=TensorProto.STRING)
    with pytest.raises(ConfigError, match="got Cast with type 8; use artifact-query"):
        GraphTwin(graph_of(CAST, backwards))(torch.zeros(1, 3, 4, 4))
    x_BCHW = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="Resize other than repeating pixels"):
        resize([x_BCHW, None, torch.tensor([1.0, 1.0, 2.0, 2.0])], {"mode": "linear"})
    with pytest.raises(ConfigError, match=r"QuantizeLinear to torch\.int16"):
        quantize_linear([x_BCHW, torch.tensor(1.0), torch.tensor(0, dtype=torch.int16)], {})
    with pytest.raises(ConfigError, match="scales in blocks"):
        dequantize_linear([x_BCHW, torch.tensor(1.0)], {"block_size": 2})
