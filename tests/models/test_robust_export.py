"""A robust purifier exports like any other: the ONNX graph equals torch, suspicion included, its norms folded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from capgan_edge.models.presets import preset, purifier_from
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import Victim, victim_from_module
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.bundling import purifier_identity
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair

SIZE_PX = (32, 32)


SHAPES = {name: preset(name) for name in ("robust-nano", "robust-nano-maps", "robust-nano-prototypes",
                                          "robust-nano-deep")}  # fmt: skip
STRETCHED = (RobustPurifierConfig(class_map_px=5), RobustPurifierConfig(paints="decision", class_map_px=20))


@pytest.fixture(scope="module", params=[*SHAPES.values(), *STRETCHED], ids=[*SHAPES, "stretched maps", "stretched"])
def purifier(request: pytest.FixtureRequest) -> Purifier:
    """With weights and statistics as if it had been trained: none at its initial value."""
    torch.manual_seed(0)
    purifier = purifier_from(request.param).eval().requires_grad_(False)
    for name, tensor in purifier.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand_like(tensor))
        elif tensor.is_floating_point():
            tensor.add_(0.05 * torch.randn_like(tensor))
    return purifier


@pytest.fixture(scope="module")
def victim() -> Victim:
    torch.manual_seed(1)
    module = SimpleResNet(10, units_per_stage=1).eval().requires_grad_(False)
    return victim_from_module(module, {"kind": "simple-resnet", "name": "tiny"}, size_px=SIZE_PX)


@pytest.fixture(scope="module")
def graph(purifier: Purifier, victim: Victim) -> bytes:
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)
    return graph_from_pair(purifier, victim, size_px=SIZE_PX, outputs=outputs, properties={})


def test_the_graph_equals_torch_in_every_output(graph: bytes, purifier: Purifier, victim: Victim) -> None:
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (6, *SIZE_PX, 3), dtype=np.uint8)
    with OrtRunner(graph, providers=("CPUExecutionProvider",), threads=1) as runner:
        found = runner(frames_NHWC)
    x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
    translated = purifier.translate(x_NCHW)
    f = victim.torch_module()
    np.testing.assert_allclose(found.logits_NK, f(translated.image_BCHW), rtol=1e-3, atol=1e-4)
    suspicion_N = torch.sigmoid(translated.domain_logits_BJ.mean(dim=1))
    np.testing.assert_allclose(found.suspicion_N, suspicion_N, rtol=1e-3, atol=1e-5)
    assert suspicion_N.std() > 1e-4, "the frames differ in it"
    assert found.raw_logits_NK is not None
    np.testing.assert_allclose(found.raw_logits_NK, f(x_NCHW), rtol=1e-3, atol=1e-4)
    assert found.purified_NHWC is not None
    expected_NHWC = (translated.image_BCHW * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(found.purified_NHWC.astype(float) - expected_NHWC).max() <= 1


def test_no_batch_norm_of_the_purifier_is_left_and_nodes_have_the_names_of_their_modules(
    graph: bytes, purifier: RobustPurifier
) -> None:
    names = {node.name: node.op_type for node in onnx.load_model_from_string(graph).graph.node}
    assert not [name for name, kind in names.items() if name.startswith("purifier.") and "Normalization" in kind]
    painter = {"features": "up1.conv.0/Conv", "decision": "class_maps.mixed/"}[purifier.config.paints]
    assert "purifier.encoder.stem.conv.0/Conv" in names
    assert any(name.startswith(f"purifier.painter.{painter}") for name in names), names.keys()


def test_its_bundle_says_what_it_is(purifier: Purifier) -> None:
    identity = purifier_identity(purifier, "cifar10-robust-nano", SIZE_PX)
    named = next((name for name, shape in SHAPES.items() if shape == purifier.config), "custom")
    assert (identity.preset, identity.config["kind"]) == (named, "robust")
