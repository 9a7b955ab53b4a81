"""Graphs for the builder: one with Q/DQ of ONNX Runtime's quantiser, and small ones that break a rule each."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper


def int8_from_fp32(model_bytes: bytes) -> bytes:
    """Return the graph with symmetric Q/DQ around its convolutions, their ranges from a few frames of noise."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self._batches = iter([{"frames": rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(model_bytes)
        options = {"ActivationSymmetric": True, "WeightSymmetric": True, "AddQDQPairToWeight": True,
                   "QuantizeBias": False}  # fmt: skip
        quantize_static(source, target, Noise(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
                        per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                        extra_options=options)  # fmt: skip
        return target.read_bytes()


def graph_of(*nodes: onnx.NodeProto, inputs: dict[str, Any] | None = None, constants: Any = ()) -> bytes:
    """Return a graph of the contract's inputs and outputs around `nodes`, which read `frames` and give `logits`."""
    frames = inputs or {"frames": (TensorProto.UINT8, ["N", 8, 8, 3])}
    outputs = {"logits": (TensorProto.FLOAT, ["N", 3]), "suspicion": (TensorProto.FLOAT, ["N"])}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, *held) for name, held in frames.items()],
        [helper.make_tensor_value_info(name, *held) for name, held in outputs.items()],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("of.nobody", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node named after its operator; names are given with spaces between."""
    return helper.make_node(operator, inputs.split(), outputs.split(), name=f"the_{operator}", **attributes)


def tiny(cast_to: int = TensorProto.FLOAT) -> bytes:
    """Return a sound graph whose arithmetic is in `cast_to`."""
    from onnx import numpy_helper

    axes = [numpy_helper.from_array(np.array(value), name) for name, value in (("hw", [1, 2]), ("all", [1, 2, 3]))]
    return graph_of(
        node("Cast", "frames", "x", to=cast_to),
        node("ReduceMean", "x hw", "m", keepdims=0),
        node("ReduceMean", "x all", "s", keepdims=0),
        node("Cast", "m", "logits", to=TensorProto.FLOAT),
        node("Cast", "s", "suspicion", to=TensorProto.FLOAT),
        constants=axes,
    )
