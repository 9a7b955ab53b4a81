"""Tiny real bundles: a graph of a few nodes that honours the graph contract, written and hashed like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import (
    ArtifactRecord,
    Figure,
    InputContract,
    Manifest,
    OutputSpec,
    ParityRecord,
    PurifierIdentity,
    VictimIdentity,
)

SIZE_PX = 8
LABELS = ("stop", "yield", "go")
ModelFactory = Callable[..., bytes]
ManifestFactory = Callable[..., Manifest]


def _model(
    *,
    outputs: tuple[str, ...] = ("logits", "suspicion", "purified", "raw_logits"),
    size_px: int = SIZE_PX,
    batch: int | str = "N",
    input_name: str = "frames",
    num_classes: int = len(LABELS),
    scale: float = 10.0,
) -> bytes:
    """Return a graph whose class is the strongest channel, and without purification the weakest."""
    eye = np.where(np.eye(3, num_classes) > 0, scale, 0).astype(np.float32)
    constants = {"full": np.float32(255), "hw": np.array([1, 2]), "all": np.array([1, 2, 3]), "eye": eye, "neg": -eye}
    nodes = [
        helper.make_node("Cast", [input_name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "full"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "hw"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "eye"], ["logits"]),
        helper.make_node("MatMul", ["mean", "neg"], ["raw_logits"]),
        helper.make_node("ReduceMean", ["scaled", "all"], ["suspicion"], keepdims=0),
        helper.make_node("Sub", ["full", "pixels"], ["inverted"]),
        helper.make_node("Cast", ["inverted"], ["purified"], to=TensorProto.UINT8),
    ]
    shapes: dict[str, tuple[int, list[int | str]]] = {
        "logits": (TensorProto.FLOAT, [batch, num_classes]),
        "raw_logits": (TensorProto.FLOAT, [batch, num_classes]),
        "suspicion": (TensorProto.FLOAT, [batch]),
        "purified": (TensorProto.UINT8, [batch, size_px, size_px, 3]),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.UINT8, [batch, size_px, size_px, 3])],
        [helper.make_tensor_value_info(name, *shapes[name]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "created": "2025-06-01T12:00:00+00:00",
        "labels": LABELS,
        "input": InputContract(height=SIZE_PX, width=SIZE_PX),
        "outputs": [
            OutputSpec(name="logits", dtype="float32", shape=("N", len(LABELS))),
            OutputSpec(name="suspicion", dtype="float32", shape=("N",)),
            OutputSpec(name="purified", dtype="uint8", shape=("N", SIZE_PX, SIZE_PX, 3)),
            OutputSpec(name="raw_logits", dtype="float32", shape=("N", len(LABELS))),
        ],
        "artifacts": {"model.fp32.onnx": ArtifactRecord(precision="fp32", opset=20)},
        "purifier": PurifierIdentity(
            name="tiny", preset="nano", sha256="a" * 64, config={"width": 1}, macs=1_000, parameters=12
        ),
        "victim": VictimIdentity(name="brightest", sha256="b" * 64),
        "tools": {"onnx": onnx.__version__},
        "parity": [
            ParityRecord(
                artifact="model.fp32.onnx",
                against="torch",
                frames="attacked",
                n=256,
                seed=7,
                settings={"eps": 8 / 255},
                max_abs_logits=1e-6,
                tolerance=1e-4,
                top1_agreement=1.0,
                passed=True,
            )
        ],
        "figures": [
            Figure(
                name="purified accuracy",
                value=91.5,
                unit="%",
                n=1000,
                seed=7,
                settings={"attack": "pgd-20"},
                data="signs/test",
                device="cpu",
                interval_95=(89.6, 93.1),
            )
        ],
    }
    return Manifest(**{**values, **changes})


@pytest.fixture(scope="session")
def make_model() -> ModelFactory:
    return _model


@pytest.fixture(scope="session")
def make_manifest() -> ManifestFactory:
    return _manifest


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    """A whole, valid bundle of its own for the test."""
    return write_bundle(tmp_path / "bundle", _manifest(), {"model.fp32.onnx": _model()}).path


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that tests only read."""
    return write_bundle(tmp_path_factory.mktemp("shared") / "bundle", _manifest(), {"model.fp32.onnx": _model()})
