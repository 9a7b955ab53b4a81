"""The REST surface as `tritonclient[http]` sees it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as client_http
from serving import NAME, Running, frames_of, logits_of
from tritonclient.utils import InferenceServerException

from capgan_edge.runtime.bundle import Bundle


@pytest.fixture
def client(server: Running) -> Iterator[client_http.InferenceServerClient]:
    with client_http.InferenceServerClient(server.authority) as client:
        yield client


def tensor(frames_NHWC: np.ndarray, *, is_binary: bool = True, name: str = "frames") -> list[client_http.InferInput]:
    datatype = {"uint8": "UINT8", "float32": "FP32"}[str(frames_NHWC.dtype)]
    held = client_http.InferInput(name, list(frames_NHWC.shape), datatype)
    return [held.set_data_from_numpy(frames_NHWC, binary_data=is_binary)]


def test_it_is_live_ready_and_says_what_it_speaks(client: client_http.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    said = client.get_server_metadata()
    assert (said["name"], said["extensions"]) == ("capgan-edge", ["binary_tensor_data"])


def test_the_metadata_of_the_model_is_the_manifests(client: client_http.InferenceServerClient) -> None:
    said = client.get_model_metadata(NAME)
    assert said["platform"] == "onnx_onnxv1"
    assert said["inputs"] == [{"name": "frames", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}]
    outputs = {output["name"]: (output["datatype"], output["shape"]) for output in said["outputs"]}
    assert outputs == {
        "logits": ("FP32", [-1, 3]),
        "suspicion": ("FP32", [-1]),
        "purified": ("UINT8", [-1, 8, 8, 3]),
        "raw_logits": ("FP32", [-1, 3]),
    }


@pytest.mark.parametrize("is_binary_out", [True, False], ids=["binary-out", "json-out"])
@pytest.mark.parametrize("is_binary_in", [True, False], ids=["binary-in", "json-in"])
def test_an_answer_is_the_graphs_in_json_and_in_binary(
    is_binary_in: bool, is_binary_out: bool, client: client_http.InferenceServerClient
) -> None:
    frames = frames_of(3)
    outputs = [client_http.InferRequestedOutput(name, binary_data=is_binary_out)
               for name in ("suspicion", "logits", "purified")]  # fmt: skip
    result = client.infer(NAME, tensor(frames, is_binary=is_binary_in), outputs=outputs, request_id="a-7")
    np.testing.assert_allclose(result.as_numpy("logits"), logits_of(frames), rtol=1e-5)
    np.testing.assert_allclose(result.as_numpy("suspicion"), logits_of(frames).mean(axis=1) / 10, rtol=1e-5)
    np.testing.assert_array_equal(result.as_numpy("purified"), 255 - frames)
    said = result.get_response()
    assert said["id"] == "a-7"
    assert [held["name"] for held in said["outputs"]] == ["suspicion", "logits", "purified"]


def test_without_outputs_all_come_and_the_parameters_say_what_answered(
    client: client_http.InferenceServerClient, shared_bundle: Bundle
) -> None:
    frames = frames_of(2)
    result = client.infer(NAME, tensor(frames))
    said = result.get_response()
    assert [held["name"] for held in said["outputs"]] == ["logits", "suspicion", "purified", "raw_logits"]
    assert all("binary_data_size" in held["parameters"] for held in said["outputs"])
    parameters = said["parameters"]
    assert parameters["capgan_sha256"] == shared_bundle.manifest.files["model.fp32.onnx"].sha256
    assert (parameters["capgan_precision"], parameters["capgan_card"]) == ("fp32", "none")
    suspicion = [float(word) for word in parameters["capgan_suspicion"].strip("[]").split(",")]
    np.testing.assert_allclose(suspicion, result.as_numpy("suspicion"), atol=1e-6)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_taken(algorithm: str, client: client_http.InferenceServerClient) -> None:
    frames = frames_of(4)
    result = client.infer(NAME, tensor(frames), request_compression_algorithm=algorithm,
                          response_compression_algorithm=algorithm)  # fmt: skip
    np.testing.assert_allclose(result.as_numpy("logits"), logits_of(frames), rtol=1e-5)


def test_more_frames_than_a_batch_holds_are_answered_in_order(client: client_http.InferenceServerClient) -> None:
    frames = frames_of(150)
    result = client.infer(NAME, tensor(frames))
    np.testing.assert_allclose(result.as_numpy("logits"), logits_of(frames), rtol=1e-5)


REFUSED = {
    "another shape": (frames_of(1, size_px=9), "frames", r"\[400\] expected the input frames UINT8 \[N, 8, 8, 3\]"),
    "one frame without a batch": (frames_of(1)[0], "frames", r"\[400\] expected the input"),
    "floats": (frames_of(1).astype(np.float32), "frames", r"\[400\] .* got frames FP32; scaling is inside"),
    "another name": (frames_of(1), "image", r"\[400\] .* got image UINT8"),
    "no frames": (frames_of(0), "frames", r"\[400\]"),
    "too many frames": (frames_of(300), "frames", r"\[413\] expected at most 256 frames in a request, got 300"),
    "too many bytes": (np.zeros((6000, 8, 8, 3), np.uint8), "frames", r"\[413\] expected a body of at most 1 MiB"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_words_that_the_client_can_read(
    case: str, client: client_http.InferenceServerClient
) -> None:
    frames, name, message = REFUSED[case]
    with pytest.raises(InferenceServerException, match=message):
        client.infer(NAME, tensor(frames, name=name))


def test_an_unknown_model_is_404_everywhere(client: client_http.InferenceServerClient) -> None:
    for ask in (client.get_model_metadata, lambda name: client.infer(name, tensor(frames_of(1)))):
        with pytest.raises(InferenceServerException, match=r"\[404\] Model with name none does not exist"):
            ask("none")
    assert client.is_model_ready("none") is False


def test_no_request_loads_or_unloads_a_model(client: client_http.InferenceServerClient) -> None:
    for ask in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match=r"\[403\]"):
            ask(NAME)
    assert client.is_model_ready(NAME)


def test_fifty_at_once_each_get_their_own_answer(server: Running) -> None:
    batches = [frames_of(1 + number % 3, seed=number) for number in range(50)]
    with client_http.InferenceServerClient(server.authority, concurrency=50) as client:
        asked = [client.async_infer(NAME, tensor(frames), request_id=str(number))
                 for number, frames in enumerate(batches)]  # fmt: skip
        results = [request.get_result() for request in asked]
    for number, (frames, result) in enumerate(zip(batches, results, strict=True)):
        assert result.get_response()["id"] == str(number)
        np.testing.assert_array_equal(result.as_numpy("purified"), 255 - frames)
        np.testing.assert_allclose(result.as_numpy("logits"), logits_of(frames), rtol=1e-5)
