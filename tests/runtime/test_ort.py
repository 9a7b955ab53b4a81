"""ONNX Runtime runs what honours the graph contract, on the provider asked for, and refuses the rest in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

from capgan_edge.errors import ArtifactError, CapganError, ConfigError, InputError
from capgan_edge.runtime.ort import CPU, OrtRunner
from capgan_edge.runtime.runner import Runner

ModelFactory = Callable[..., bytes]


def test_a_runner_gives_every_output_of_the_contract(make_model: ModelFactory) -> None:
    runner: Runner = OrtRunner(make_model())
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    with runner:
        outputs = runner(frames_NHWC)
    assert np.allclose(outputs.logits_NK, 10 * frames_NHWC.mean(axis=(1, 2)) / 255, atol=1e-4)
    assert outputs.suspicion_N.shape == (5,)
    assert outputs.raw_logits_NK is not None
    assert np.allclose(outputs.raw_logits_NK, -outputs.logits_NK)
    assert outputs.purified_NHWC is not None
    assert (outputs.purified_NHWC == 255 - frames_NHWC).all()


def test_optional_outputs_are_none_where_they_were_not_exported(make_model: ModelFactory) -> None:
    outputs = OrtRunner(make_model(outputs=("suspicion", "logits")))(np.zeros((1, 8, 8, 3), np.uint8))
    assert outputs.purified_NHWC is None
    assert outputs.raw_logits_NK is None
    assert outputs.logits_NK.shape == (1, 3)


class Case(NamedTuple):
    name: str
    options: dict[str, Any]
    message: str


CASES = [
    Case("another input", {"input_name": "image"}, "one input, frames .* got image uint8"),
    Case("a fixed batch", {"batch": 4}, "with N free, got frames uint8 .4, 8, 8, 3."),
    Case("no suspicion", {"outputs": ("logits",)}, "logits and suspicion, got logits"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_graph_that_breaks_the_contract_is_refused(case: Case, make_model: ModelFactory) -> None:
    with pytest.raises(ArtifactError, match=case.message):
        OrtRunner(make_model(**case.options))


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x0a" * 50], ids=["empty", "text", "noise"])
def test_bytes_that_are_no_model_are_refused_in_one_line(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArtifactError, match="expected an ONNX model") as caught:
        OrtRunner(data)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("place", ["weights.bin", "../here/weights.bin", "{cwd}/weights.bin"])
def test_weights_outside_the_hashed_bytes_are_never_read(
    place: str, tmp_path: Path, make_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "weights.bin").write_bytes(np.eye(3, dtype=np.float32).tobytes())
    monkeypatch.chdir(here)
    model = onnx.load_from_string(make_model())
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "eye"]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    location = weights.external_data.add()
    location.key, location.value = "location", place.format(cwd=here)
    with pytest.raises(ArtifactError, match=r"[Ee]xternal data"):
        OrtRunner(model.SerializeToString())


def test_a_truncated_model_is_refused(make_model: ModelFactory) -> None:
    with pytest.raises(ArtifactError):
        OrtRunner(make_model()[:-40])


def test_a_provider_that_is_not_offered_is_an_error_that_names_those_that_are(make_model: ModelFactory) -> None:
    with pytest.raises(ConfigError, match=f"{CPU}.*, got NoSuchProvider"):
        OrtRunner(make_model(), providers=("NoSuchProvider", CPU))
    with pytest.raises(ConfigError, match="got none"):
        OrtRunner(make_model(), providers=())
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        OrtRunner(make_model(), threads=0)


def test_frames_that_the_graph_does_not_take_are_refused(make_model: ModelFactory) -> None:
    runner = OrtRunner(make_model())
    for frames in (np.zeros((1, 9, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32)):
        with pytest.raises(InputError, match=r"takes uint8 frames \[N, 8, 8, 3\]"):
            runner(frames)  # type: ignore[arg-type]


def test_a_closed_runner_refuses_calls(make_model: ModelFactory) -> None:
    runner = OrtRunner(make_model(), threads=1)
    runner.close()
    with pytest.raises(CapganError, match="closed"):
        runner(np.zeros((1, 8, 8, 3), np.uint8))
