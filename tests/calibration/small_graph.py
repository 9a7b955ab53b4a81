"""A graph of the contract with every op that INT8 takes, and a residual addition; small weights by seed."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE_PX = (8, 8)
LABELS = ("stop", "yield", "limit", "oneway", "school")
MIDDLE = ("purifier.a/Conv", "purifier.b/Conv", "purifier.up/ConvTranspose", "victim.mid/MatMul", "victim.side/Gemm")
"""The layers that are no ends."""
ENDS = ("purifier.stem/Conv", "purifier.end/Conv", "purifier.gate/Gemm", "victim.stem/Conv", "victim.head/Gemm")


def small_model(seed: int = 0) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        scale_per_channel = 2.0 ** np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) / shape[0]
        return numpy_helper.from_array((rng.normal(size=shape) * scale_per_channel / 8).astype(np.float32), name)

    weights = [
        numpy_helper.from_array(np.float32(255), "level"), numpy_helper.from_array(np.array([2, 3]), "pixels"),
        numpy_helper.from_array(np.array([1]), "last"),
        weight("stem.w", 4, 3, 3, 3), weight("a.w", 4, 4, 3, 3), weight("a.b", 4), weight("b.w", 6, 4, 3, 3),
        weight("up.w", 6, 4, 2, 2), weight("end.w", 3, 4, 3, 3), weight("gate.w", 4, 1), weight("v.w", 4, 3, 3, 3),
        weight("mid.w", 4, 6), weight("side.w", 7, 6),
        numpy_helper.from_array(rng.normal(size=(len(LABELS), 7)).astype(np.float32) * 99, "head.w"),
        weight("head.b", len(LABELS)),
    ]  # fmt: skip
    pads = {"pads": [1, 1, 1, 1]}

    def node(op: str, name: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(op, inputs.split(), [output], f"{name}/{op}", **attributes)

    nodes = [
        node("Cast", "graph", "frames", "cast", to=TensorProto.FLOAT),
        node("Transpose", "graph", "cast", "channels", perm=[0, 3, 1, 2]),
        node("Div", "graph", "channels level", "x"),
        node("Conv", "purifier.stem", "x stem.w", "s", **pads),
        node("Relu", "purifier.stem", "s", "r"),
        node("Conv", "purifier.a", "r a.w a.b", "a", **pads),
        node("Add", "purifier.block", "r a", "sum"),
        node("Conv", "purifier.b", "sum b.w", "b", strides=[2, 2], **pads),
        node("ConvTranspose", "purifier.up", "b up.w", "up", strides=[2, 2]),
        node("Conv", "purifier.end", "up end.w", "end", **pads),
        node("Add", "graph", "x end", "image"),
        node("ReduceMean", "purifier.gate", "sum pixels", "pooled", keepdims=0),
        node("Gemm", "purifier.gate", "pooled gate.w", "domain"),
        node("Sigmoid", "graph", "domain", "sigmoid"),
        node("Squeeze", "graph", "sigmoid last", "suspicion"),
        node("Conv", "victim.stem", "image v.w", "v", **pads),
        node("ReduceMean", "victim", "v pixels", "flat", keepdims=0),
        node("MatMul", "victim.mid", "flat mid.w", "m"),
        node("Gemm", "victim.side", "m side.w", "g", transB=1),
        node("Gemm", "victim.head", "g head.w head.b", "logits", transB=1),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(LABELS)]),
               helper.make_tensor_value_info("suspicion", TensorProto.FLOAT, ["N"])]  # fmt: skip
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", *SIZE_PX, 3])
    graph = helper.make_graph(nodes, "small", [frames], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.metadata_props.add(key="preset", value="small")
    model.metadata_props.add(key="precision", value="fp32")
    onnx.checker.check_model(model, full_check=True)
    return model


def small_bytes(seed: int = 0) -> bytes:
    data: bytes = small_model(seed).SerializeToString(deterministic=True)
    return data


def frames(n: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise on a colour that is each frame's own, so that labels differ."""
    rng = np.random.default_rng(seed)
    noisy = rng.integers(0, 256, (n, 1, 1, 3)) + rng.integers(-60, 61, (n, *SIZE_PX, 3))
    return noisy.clip(0, 255).astype(np.uint8)
