"""An ONNX victim in torch equals ONNX Runtime, has gradients, and is refused where it is no victim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from brought import images
from onnx import TensorProto, helper, numpy_helper

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.models.victims import load_victim


def onnx_bytes(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    *,
    takes: tuple[str | int, ...] = ("N", 3, 32, 32),
    gives: tuple[str | int, ...] = ("N", 3),
    opset: int = 17,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def many_ops() -> bytes:
    """Return a classifier that uses most of the table, shape arithmetic and uneven padding included."""
    rng = np.random.default_rng(0)
    node, f32 = helper.make_node, np.float32
    nodes = [
        node("Pad", ["x", "pads"], ["p"], mode="reflect"),
        node("Conv", ["p", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        node("LeakyRelu", ["n"], ["l"], alpha=0.2),
        node("MaxPool", ["l"], ["mp"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("AveragePool", ["l"], ["ap"], kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1),
        node("Sigmoid", ["ap"], ["g"]),
        node("Mul", ["mp", "g"], ["mg"]),
        node("Clip", ["mg", "low", "high"], ["cl"]),
        node("Concat", ["cl", "ap"], ["cc"], axis=1),
        node("Slice", ["cc", "one", "seven", "one"], ["sl"]),
        node("InstanceNormalization", ["sl", "is", "ib"], ["in"]),
        node("Transpose", ["in"], ["t"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["t"], ["r"], axes=[1, 2], keepdims=0),
        node("GlobalAveragePool", ["in"], ["gap"]),
        node("Shape", ["gap"], ["sh"]),
        node("Gather", ["sh", "zero"], ["n0"], axis=0),
        node("Concat", ["n0", "minus"], ["to"], axis=0),
        node("Reshape", ["gap", "to"], ["flat"]),
        node("Add", ["r", "flat"], ["sum"]),
        node("Tanh", ["sum"], ["th"]),
        node("Gemm", ["th", "fc", "fb"], ["y"], transB=1, alpha=0.5),
    ]
    ints = {"one": [1], "seven": [7], "zero": [0], "minus": [-1], "pads": [0, 0, 1, 1, 0, 0, 1, 1]}
    floats = {"w": (4, 3, 3, 3), "s": (4,), "b": (4,), "m": (4,), "is": (6,), "ib": (6,), "fc": (3, 6), "fb": (3,)}
    weights = {name: np.array(value, np.int64) for name, value in ints.items()}
    weights |= {name: rng.normal(size=shape).astype(f32) for name, shape in floats.items()}
    weights |= {"v": np.full(4, 0.5, f32), "low": np.array(-1, f32), "high": np.array(1, f32)}
    return onnx_bytes(nodes, weights)


def test_an_onnx_victim_in_torch_equals_onnxruntime_and_has_gradients(tmp_path: Path) -> None:
    (tmp_path / "v.onnx").write_bytes(many_ops())
    victim = load_victim(tmp_path / "v.onnx")
    session = onnxruntime.InferenceSession(many_ops())
    x = images(4).requires_grad_()
    logits = victim.torch_module()(x)
    np.testing.assert_allclose(logits.detach().numpy(), session.run(None, {"x": x.detach().numpy()})[0], atol=2e-5)
    logits.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert (victim.num_classes, victim.size_px, victim.unconverted) == (3, (32, 32), ())


def test_an_onnx_victim_with_an_op_that_does_not_convert_can_still_be_exported(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Mish", ["f"], ["y"]),
    ]
    (tmp_path / "v.onnx").write_bytes(onnx_bytes(nodes, {}, opset=18))
    victim = load_victim(tmp_path / "v.onnx")
    assert victim.module is None
    with pytest.raises(ConfigError, match=r"Mish; this ONNX victim can be exported and run, but not used in training"):
        victim.torch_module()


FLAT = [helper.make_node("GlobalAveragePool", ["x"], ["g"]), helper.make_node("Flatten", ["g"], ["y"])]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (onnx_bytes(FLAT, {}, takes=(4, 3, 32, 32), gives=(4, 3)), "fixed batch of 4"),
        (onnx_bytes(FLAT, {}, takes=("N", 32, 32, 3), gives=("N", 32)), r"let it take \[N, 3, H, W\]"),
        (onnx_bytes([*FLAT[:1], helper.make_node("Identity", ["g"], ["y"])], {}, gives=("N", 3, 1, 1)), "logits"),
    ],
    ids=["fixed batch", "channels last", "rank 4"],
)
def test_an_onnx_file_that_is_no_victim_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "v.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=says):
        load_victim(tmp_path / "v.onnx")


def outside(name: str = "w") -> onnx.TensorProto:
    """Return a weight that lies in another file."""
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def with_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(outside())


def with_sparse_initializer(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[3])
    sparse.values.CopyFrom(outside())


def with_constant(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=outside()))


def with_tensor_list(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.add(name="values", type=onnx.AttributeProto.TENSORS).tensors.append(outside())
    model.graph.node.insert(0, node)


def with_subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Constant", [], ["w"], value=outside())], "inner", [], [])
    model.graph.node.insert(0, helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))


def with_function(model: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=outside())
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "F", [], ["w"], [constant], opsets))


PLACES = [with_initializer, with_sparse_initializer, with_constant, with_tensor_list, with_subgraph, with_function]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_weights_in_another_file_are_refused_wherever_they_are_named(
    place: Callable[[onnx.ModelProto], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.full(3, 42, np.float32).tofile("secret.bin")
    model = onnx.load_model_from_string(onnx_bytes(FLAT, {}))
    place(model)
    Path("v.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"got one whose weights lie in other files; save it in one") as caught:
        load_victim("v.onnx")
    assert "\n" not in str(caught.value)


def test_a_size_that_exhausts_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.onnx").write_bytes(onnx_bytes(FLAT, {}, takes=("N", 3, 1 << 30, 1 << 30)))
    with pytest.raises(ConfigError, match="expected images of 1 to 8192 px a side"):
        load_victim(tmp_path / "v.onnx")
