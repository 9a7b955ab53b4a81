"""The gRPC surface as `tritonclient[grpc]` sees it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import grpc_calls
import numpy as np
import pytest
from client_process import ClientProcess
from serving import NAME, Running, frames_of, logits_of

from capgan_edge.runtime.bundle import Bundle


def test_it_is_live_ready_and_its_metadata_is_the_manifests(server: Running, client_process: ClientProcess) -> None:
    said = client_process(grpc_calls.health_and_metadata, server.grpc)
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["server"]["name"] == "capgan-edge"
    assert said["model"]["inputs"] == [{"name": "frames", "datatype": "UINT8", "shape": ["-1", "8", "8", "3"]}]
    assert [held["name"] for held in said["model"]["outputs"]] == ["logits", "suspicion", "purified", "raw_logits"]
    assert said["model"]["platform"] == "onnx_onnxv1"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_an_answer_is_the_graphs(
    compression: str | None, server: Running, client_process: ClientProcess, shared_bundle: Bundle
) -> None:
    frames = frames_of(3)
    said = client_process(grpc_calls.infer, server.grpc, frames, outputs=("suspicion", "logits"), request_id="b-3",
                          compression=compression)  # fmt: skip
    assert (said["id"], list(said["arrays"])) == ("b-3", ["suspicion", "logits"])
    np.testing.assert_allclose(said["arrays"]["logits"], logits_of(frames), rtol=1e-5)
    np.testing.assert_allclose(said["arrays"]["suspicion"], logits_of(frames).mean(axis=1) / 10, rtol=1e-5)
    assert said["parameters"]["capgan_sha256"] == shared_bundle.manifest.files["model.fp32.onnx"].sha256
    assert len(said["parameters"]["capgan_suspicion"].split(",")) == 3


class Refused(NamedTuple):
    name: str
    frames: np.ndarray
    settings: dict[str, Any]
    message: str


REFUSED = [
    Refused("shape", frames_of(1, size_px=9), {}, r"INVALID_ARGUMENT\] expected the input frames UINT8 \[N, 8, 8, 3\]"),
    Refused("dtype", frames_of(1).astype(np.float32), {}, r"INVALID_ARGUMENT\] .* got frames FP32"),
    Refused("input", frames_of(1), {"name": "image"}, r"INVALID_ARGUMENT\] .* got image UINT8"),
    Refused("output", frames_of(1), {"outputs": ("x",)}, r"INVALID_ARGUMENT\] expected outputs among logits"),
    Refused("model", frames_of(1), {"model": "none"}, r"NOT_FOUND\] Model with name none does not exist"),
    Refused("too many frames", frames_of(300), {}, r"RESOURCE_EXHAUSTED\] expected at most 256 frames"),
    Refused("too many bytes", np.zeros((9000, 8, 8, 3), np.uint8), {}, r"RESOURCE_EXHAUSTED\] .*larger than max"),
    Refused("bomb", np.zeros((90_000, 8, 8, 3), np.uint8), {"compression": "gzip"},
            r"RESOURCE_EXHAUSTED\] .*larger than max"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_does_not_fit_is_a_status_and_a_line(
    case: Refused, server: Running, client_process: ClientProcess
) -> None:
    said = client_process(grpc_calls.infer, server.grpc, case.frames, **case.settings)
    assert re.search(case.message, said["error"])
    assert "Traceback" not in said["error"]
    assert said["is_ready"]


@pytest.mark.parametrize(
    ("what", "model", "status"),
    [("get_model_metadata", "none", "NOT_FOUND"), ("load_model", NAME, "PERMISSION_DENIED"),
     ("unload_model", NAME, "PERMISSION_DENIED")],
)  # fmt: skip
def test_no_request_reaches_beyond_the_one_model(
    what: str, model: str, status: str, server: Running, client_process: ClientProcess
) -> None:
    assert f"{status}]" in client_process(grpc_calls.control, server.grpc, what, model)


def test_typed_contents_are_taken_as_well_as_raw_bytes(server: Running, client_process: ClientProcess) -> None:
    frames = frames_of(1)
    said = client_process(grpc_calls.infer_typed, server.grpc, frames, frames.reshape(-1).tolist())
    np.testing.assert_allclose(said["logits"], logits_of(frames), rtol=1e-5)
    said = client_process(grpc_calls.infer_typed, server.grpc, frames, [256] * frames.size)
    assert "INVALID_ARGUMENT] expected the pixels" in said["error"]


def test_fifty_at_once_each_get_their_own_answer(server: Running, client_process: ClientProcess) -> None:
    batches = [frames_of(1 + number % 3, seed=number) for number in range(50)]
    for number, said in enumerate(client_process(grpc_calls.infer_at_once, server.grpc, batches)):
        assert said["id"] == str(number)
        np.testing.assert_array_equal(said["arrays"]["purified"], 255 - batches[number])
