"""What Q/DQ nodes quantise is multiplied exactly on a CPU, whatever the processor and whoever shares weights."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capgan_edge.runtime.openvino import OpenVinoRunner
from capgan_edge.runtime.ort import OrtRunner

NUM_CLASSES, STEP = 20, np.float32(1 / 127)


def quantised(layer: str) -> bytes:
    """Return a graph with one INT8 layer twice, with shared weights of 1 and -1: full frames give their 192 values."""
    sign = np.where(np.arange(NUM_CLASSES) % 2, -127, 127).astype(np.int8)
    weight = np.tile(sign[:, None, None, None], (1, 3, 8, 8)) if layer == "Conv" else np.tile(sign, (192, 1))
    constants = {"full": np.float32(255), "axes": np.array([1, 2, 3]), "flat": np.array([0, NUM_CLASSES]),
                 "weight": weight, "steps": np.full(NUM_CLASSES, STEP), "zeros": np.zeros(NUM_CLASSES, np.int8),
                 "step": STEP, "zero": np.int8(0)}  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["image"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["image", "full"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["suspicion"], keepdims=0),
        helper.make_node("Neg", ["scaled"], ["other"]),
        helper.make_node("DequantizeLinear", ["weight", "steps", "zeros"], ["held"], axis=int(layer == "Gemm")),
    ]
    for given, made in (("scaled", "logits"), ("other", "raw_logits")):
        flat = [] if layer == "Conv" else [helper.make_node("Flatten", [given], [f"{given}_flat"])]
        read = given if layer == "Conv" else f"{given}_flat"
        nodes += [
            *flat,
            helper.make_node("QuantizeLinear", [read, "step", "zero"], [f"{given}_q"]),
            helper.make_node("DequantizeLinear", [f"{given}_q", "step", "zero"], [f"{given}_dq"]),
            helper.make_node(layer, [f"{given}_dq", "held"], [f"{made}_y"]),
            helper.make_node("Reshape", [f"{made}_y", "flat"], [made]),
        ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "quantised",
            [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", 8, 8, 3])],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", NUM_CLASSES]),
                helper.make_tensor_value_info("suspicion", TensorProto.FLOAT, ["N"]),
                helper.make_tensor_value_info("raw_logits", TensorProto.FLOAT, ["N", NUM_CLASSES]),
            ],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("layer", ["Conv", "Gemm"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_products_are_summed_exactly_where_layers_share_weights(runtime: str, layer: str) -> None:
    runner: OrtRunner | OpenVinoRunner
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs openvino: pip install 'capgan-edge[openvino]'")
        runner = OpenVinoRunner(quantised(layer), threads=1)
    else:
        runner = OrtRunner(quantised(layer), threads=1)
    with runner:
        outputs = runner(np.full((2, 8, 8, 3), 255, np.uint8))
    wanted_K = np.where(np.arange(NUM_CLASSES) % 2, -192, 192)
    assert outputs.raw_logits_NK is not None
    rtol = 1e-4 if runtime == "onnxruntime" else 1e-2  # kernels that saturate are off by a third
    assert np.allclose(outputs.logits_NK, wanted_K, rtol=rtol)
    assert np.allclose(outputs.raw_logits_NK, -wanted_K, rtol=rtol)
