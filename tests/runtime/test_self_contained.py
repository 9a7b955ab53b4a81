"""A model with weights in another file is refused wherever in it they hide; one that holds them is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.self_contained import refuse_outside_weights

ModelFactory = Callable[..., bytes]


def outside(name: str = "eye") -> TensorProto:
    tensor = numpy_helper.from_array(np.eye(3, dtype=np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def hidden_graph() -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], [outside()])


def _as_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(outside())


def _as_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside()))


def _in_a_branch(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=hidden_graph()))


def _in_a_function(model: onnx.ModelProto) -> None:
    model.functions.add().node.append(helper.make_node("Constant", [], ["c"], value=outside()))


def _in_sparse_values(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(outside())


def _without_saying_external(model: onnx.ModelProto) -> None:
    tensor = outside()
    tensor.ClearField("data_location")
    model.graph.initializer.append(tensor)


def _in_training_info(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(hidden_graph())


PLACES = [_as_initializer, _as_constant, _in_a_branch, _in_a_function, _in_sparse_values, _without_saying_external,
          _in_training_info]  # fmt: skip


@pytest.mark.parametrize("hide", PLACES, ids=lambda hide: hide.__name__)
def test_weights_outside_are_refused(hide: Callable[[onnx.ModelProto], None], make_model: ModelFactory) -> None:
    model = onnx.load_from_string(make_model())
    refuse_outside_weights(model.SerializeToString())
    hide(model)
    with pytest.raises(ArtifactError, match="external data in another file"):
        refuse_outside_weights(model.SerializeToString())


def test_openvino_is_never_given_a_model_with_weights_outside(
    make_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="needs openvino: pip install 'capgan-edge[openvino]'")
    from capgan_edge.runtime.openvino import OpenVinoRunner

    (tmp_path / "weights.bin").write_bytes(np.eye(3, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(make_model())
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "eye"]
    weights.CopyFrom(outside())
    with pytest.raises(ArtifactError, match="external data in another file"):
        OpenVinoRunner(model.SerializeToString())


@pytest.mark.parametrize("data", [b"\x3a\xff", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x3b", b"\xff"])
def test_bytes_that_do_not_parse_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="do not parse"):
        refuse_outside_weights(data)
