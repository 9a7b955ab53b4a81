"""Which layers become INT8: ends, exclusions and obstacles, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_graph import ENDS, MIDDLE, small_model

from capgan_calibration.layers import Layer, find_layers, select_layers
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def test_ends_of_purifier_and_victim_stay_unless_asked_for() -> None:
    layers = find_layers(small_model())
    selection = select_layers(layers)
    assert {layer.name for layer in selection.quantised} == set(MIDDLE)
    assert {kept.name: kept.reason for kept in selection.kept} == {
        "purifier.stem/Conv": "a first layer of the purifier",
        "purifier.end/Conv": "a last layer of the purifier",
        "purifier.gate/Gemm": "a last layer of the purifier",
        "victim.stem/Conv": "a first layer of the victim",
        "victim.head/Gemm": "a last layer of the victim",
    }
    everything = select_layers(layers, keep_ends=False)
    assert {layer.name for layer in everything.quantised} == {*MIDDLE, *ENDS}
    assert everything.kept == ()


def test_layers_are_left_out_by_name_and_by_pattern() -> None:
    selection = select_layers(find_layers(small_model()), exclude=["purifier.a/Conv", "victim.*"])
    assert [layer.name for layer in selection.quantised] == ["purifier.b/Conv", "purifier.up/ConvTranspose"]
    reasons = {kept.name: kept.reason for kept in selection.kept}
    assert reasons["purifier.a/Conv"] == "left out by 'purifier.a/Conv'"
    assert reasons["victim.mid/MatMul"] == "left out by 'victim.*'"


def test_a_name_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"got 'purifier\.block/Add', which fits none of the 10"):
        select_layers(find_layers(small_model()), exclude=["purifier.block/Add"])


def test_a_classifier_that_runs_twice_is_one_layer_a_weight(signs_bundle: Bundle) -> None:
    layers = {layer.name: layer for layer in find_layers(onnx.load_model_from_string(signs_bundle.read_artifact()))}
    assert layers["victim.units.3.conv1/Conv"].nodes == ("victim.units.3.conv1/Conv", "victim.units.3.conv1/Conv_2")
    selection = select_layers(tuple(layers.values()), exclude=["victim.units.3.conv1/Conv_2"])
    assert "victim.units.3.conv1/Conv" in {kept.name for kept in selection.kept}


class Obstacle(NamedTuple):
    name: str
    layer: str
    change: Callable[[onnx.ModelProto], None]
    reason: str


def _compute_weight(model: onnx.ModelProto) -> None:
    node_of(model, "purifier.a/Conv").input[1] = "computed"
    model.graph.node.insert(0, helper.make_node("Abs", ["a.w"], ["computed"], "purifier.a/Abs"))


def _read_weight_elsewhere(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Abs", ["a.w"], ["unused"], "purifier.a/Abs"))


def _scale_bias(model: onnx.ModelProto) -> None:
    node_of(model, "victim.side/Gemm").attribute.append(helper.make_attribute("beta", 0.5))


def _feed_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 4), np.float32), "ones"))
    node_of(model, "victim.mid/MatMul").input[0] = "ones"


OBSTACLES = [
    Obstacle("computed weight", "purifier.a/Conv", _compute_weight, "its weight is computed, not stored"),
    Obstacle("weight used elsewhere", "purifier.a/Conv", _read_weight_elsewhere, "its weight is used elsewhere too"),
    Obstacle("scaled bias", "victim.side/Gemm", _scale_bias, "its bias is scaled"),
    Obstacle("constant input", "victim.mid/MatMul", _feed_constant, "its input is a constant"),
]


@pytest.mark.parametrize("case", OBSTACLES, ids=lambda case: case.name)
def test_what_int8_cannot_take_stays_and_says_why(case: Obstacle) -> None:
    model = small_model()
    case.change(model)
    kept = {held.name: held.reason for held in select_layers(find_layers(model), keep_ends=False).kept}
    assert list(kept) == [case.layer]
    assert kept[case.layer].startswith(case.reason)


def test_a_weight_that_a_branch_reads_stays() -> None:
    model = small_model()
    read = helper.make_node("Identity", ["a.w"], ["inner"], "inner/Identity")
    branch = helper.make_graph([read], "branch", [], [helper.make_tensor_value_info("inner", 1, None)])
    model.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "yes"))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["chosen"], "victim/If", then_branch=branch, else_branch=branch)
    )
    layer: Layer = next(layer for layer in find_layers(model) if layer.name == "purifier.a/Conv")
    assert layer.obstacle == "its weight is used elsewhere too"


def test_quantised_unnamed_and_empty_graphs_are_refused() -> None:
    quantised, unnamed, empty = small_model(), small_model(), small_model()
    quantised.graph.node.append(helper.make_node("QuantizeLinear", ["x", "level"], ["q"], "q"))
    node_of(unnamed, "purifier.a/Conv").name = ""
    del empty.graph.node[:]
    for model, says in ((quantised, "QuantizeLinear"), (unnamed, "without a name"), (empty, "without any")):
        with pytest.raises(ArtifactError, match=says):
            find_layers(model)
