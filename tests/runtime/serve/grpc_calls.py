"""What `tritonclient[grpc]` does, as functions for a process of its own.

KServe and tritonclient each bring the protocol's messages, and protobuf takes one of the two a process.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

PATIENCE_S = 30


def _client(address: str, certificate: str | None = None) -> Any:
    import tritonclient.grpc as client_grpc

    return client_grpc.InferenceServerClient(address, ssl=certificate is not None, root_certificates=certificate)


def _tensor(frames_NHWC: np.ndarray, name: str = "frames") -> list[Any]:
    import tritonclient.grpc as client_grpc

    datatype = {"uint8": "UINT8", "float32": "FP32"}[str(frames_NHWC.dtype)]
    return [client_grpc.InferInput(name, list(frames_NHWC.shape), datatype).set_data_from_numpy(frames_NHWC)]


def _said(result: Any) -> dict[str, Any]:
    response = result.get_response()
    return {
        "id": response.id,
        "arrays": {held.name: result.as_numpy(held.name) for held in response.outputs},
        "parameters": {key: value.string_param for key, value in response.parameters.items()},
    }


def infer(
    address: str,
    frames_NHWC: np.ndarray,
    *,
    model: str = "tiny",
    name: str = "frames",
    outputs: tuple[str, ...] = (),
    request_id: str = "",
    compression: str | None = None,
    token: str | None = None,
    certificate: str | None = None,
) -> dict[str, Any]:
    """Return the answer, or its error."""
    import tritonclient.grpc as client_grpc
    from tritonclient.utils import InferenceServerException

    asked = [client_grpc.InferRequestedOutput(output) for output in outputs] or None
    headers = None if token is None else {"authorization": f"Bearer {token}"}
    with _client(address, certificate) as client:
        try:
            return _said(client.infer(model, _tensor(frames_NHWC, name), outputs=asked, request_id=request_id,
                                      compression_algorithm=compression, headers=headers,
                                      client_timeout=PATIENCE_S))  # fmt: skip
        except InferenceServerException as error:
            return {"error": str(error), "is_ready": client.is_server_ready()}


def infer_at_once(address: str, batches: list[np.ndarray], model: str = "tiny") -> list[dict[str, Any]]:
    """Return the answers to requests that are all in flight together, each with its place as its id."""
    with _client(address) as client:
        futures: list[Future[Any]] = [Future() for _ in batches]
        for number, (frames, future) in enumerate(zip(batches, futures, strict=True)):

            def settle(result: Any, error: Any, future: Future[Any] = future) -> None:
                future.set_exception(error) if error else future.set_result(result)

            client.async_infer(model, _tensor(frames), settle, request_id=str(number))
        return [_said(future.result(PATIENCE_S)) for future in futures]


def health_and_metadata(address: str, model: str = "tiny") -> dict[str, Any]:
    with _client(address) as client:
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model),
            "server": client.get_server_metadata(as_json=True),
            "model": client.get_model_metadata(model, as_json=True),
        }


def control(address: str, what: str, model: str) -> str:
    """Return the error of a call that must fail."""
    from tritonclient.utils import InferenceServerException

    with _client(address) as client:
        try:
            return f"no error, but {getattr(client, what)(model)}"
        except InferenceServerException as error:
            return str(error)


def infer_typed(address: str, frames_NHWC: np.ndarray, pixels: list[int]) -> dict[str, Any]:
    """Send whole numbers in a message of their own, instead of bytes."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    contents = service_pb2.InferTensorContents(uint_contents=pixels)
    held = service_pb2.ModelInferRequest.InferInputTensor(name="frames", datatype="UINT8", shape=frames_NHWC.shape,
                                                          contents=contents)  # fmt: skip
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelInfer(service_pb2.ModelInferRequest(model_name="tiny", inputs=[held]))
        except grpc.RpcError as error:
            return {"error": f"[{error.code()}] {error.details()}"}
        return {"logits": np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(len(frames_NHWC), -1)}


_silent: list[tuple[Any, Any]] = []


def open_silent_calls(address: str, num_calls: int) -> None:
    """Begin calls that never send their message; see `end_of_silent_calls`."""
    import threading

    import grpc

    def never() -> Any:
        threading.Event().wait(PATIENCE_S)
        yield b""

    channel = grpc.insecure_channel(address)
    call = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
    _silent.extend((channel, call.future(never())) for _ in range(num_calls))


def end_of_silent_calls() -> list[str]:
    """Return how each of them ended."""
    ends = [f"[{call.code()}] {call.details()}" for _, call in _silent]
    for channel, _ in _silent:
        channel.close()
    _silent.clear()
    return ends


def ask_with(address: str, method: str, request: str, **members: Any) -> str:
    """Return what came of a method with a message of these members: `answered`, or the error."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            getattr(stub, method)(getattr(service_pb2, request)(**members), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return f"[{error.code()}] {error.details()}"
    return "answered"


def infer_at_once_or_errors(address: str, batches: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return the answers to requests that are all in flight together, or their errors."""
    with _client(address) as client:
        futures: list[Future[Any]] = [Future() for _ in batches]
        for frames, future in zip(batches, futures, strict=True):

            def settle(result: Any, error: Any, future: Future[Any] = future) -> None:
                future.set_result({"error": str(error)} if error else _said(result))

            client.async_infer("tiny", _tensor(frames), settle)
        return [future.result(PATIENCE_S) for future in futures]
