"""Requests that no one writes by hand: from the server's own OpenAPI description, and around the binary extension."""

from __future__ import annotations

import json
import math
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kserve import InferRequest
from serving import NAME, PATIENCE_S, Reply, Running, frames_of

from capgan_edge.runtime.serve.asked import asked_from_request
from capgan_edge.runtime.serve.bounds import Bounds
from capgan_edge.runtime.serve.loaded import TensorSpec
from capgan_edge.runtime.serve.refusals import Refusal
from capgan_edge.runtime.serve.rest_request import request_from_body

HEADER = "Inference-Header-Content-Length"
FRAMES = TensorSpec(name="frames", datatype="UINT8", shape=(-1, 8, 8, 3))
OUTPUTS = (TensorSpec(name="logits", datatype="FP32", shape=(-1, 3)),
           TensorSpec(name="suspicion", datatype="FP32", shape=(-1,)))  # fmt: skip
BOUNDED = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def test_whatever_the_description_allows_is_answered_in_the_protocols_form(server: Running) -> None:
    api = schemathesis.openapi.from_url(f"{server.http}/openapi.json", wait_for_schema=None)
    operations = [result.ok() for result in api.get_all_operations()]
    paths = {operation.path for operation in operations}
    assert {"/v2/models/{model_name}/infer", "/v2/models/{model_name}/classify", "/metrics", "/v2"} <= paths
    for operation in operations:

        @BOUNDED
        @given(case=operation.as_strategy(), is_known=st.booleans())
        def ask(case: Any, is_known: bool) -> None:
            if is_known and "model_name" in case.path_parameters:
                case.path_parameters["model_name"] = NAME  # else nothing gets past the 404
            response = case.call(timeout=PATIENCE_S)
            assert response.status_code < 500
            if response.status_code >= 400:
                assert list(response.json()) == ["error"]

        ask()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SHAPES = st.lists(st.integers(-2, 9) | st.sampled_from([8, 3, 1 << 63]), max_size=5) | st.just([1, 8, 8, 3]) | JSON
SIZES = st.integers(-1, 400) | st.just(192) | JSON
TENSOR = st.fixed_dictionaries(
    {
        "name": st.just("frames") | JSON,
        "shape": SHAPES,
        "datatype": st.sampled_from(["UINT8", "uint8", "BYTES"]) | JSON,
    },
    optional={
        "data": st.lists(st.integers(-1, 256), max_size=200) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": SIZES}) | JSON,
    },
)
OUTPUT = st.fixed_dictionaries(
    {"name": st.sampled_from(["logits", "suspicion"]) | JSON},
    optional={"parameters": st.fixed_dictionaries({}, optional={"binary_data": JSON, "classification": JSON}) | JSON},
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, min_size=1, max_size=2) | JSON},
    optional={
        "id": st.text(max_size=5) | JSON,
        "outputs": st.lists(OUTPUT, max_size=3) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": JSON, "timeout": JSON}) | JSON,
    },
)


def _answer(server: Running, body: bytes, header: str | None) -> Reply:
    reply = server.ask("POST", f"/v2/models/{NAME}/infer", body, {} if header is None else {HEADER: header})
    assert reply.status in (200, 400, 413, 503), (reply.status, reply.body)
    if reply.status != 200:
        assert reply.error
    return reply


@settings(max_examples=250, deadline=None, derandomize=True)
@given(request=REQUEST | JSON, rest=st.binary(max_size=200) | st.just(bytes(192)))
def test_any_json_with_any_bytes_behind_it_is_a_request_or_a_refusal(request: Any, rest: bytes) -> None:
    head = json.dumps(request).encode()
    try:
        held = request_from_body(head + rest, len(head), "tiny", Bounds(max_frames=256, size_px=(8, 8)))
        assert isinstance(held, InferRequest)
        asked = asked_from_request(held, FRAMES, OUTPUTS)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500  # noqa: PT017 - either outcome is right
        return
    assert asked.frames_NHWC.shape[1:] == (8, 8, 3)
    assert len(asked.frames_NHWC) >= 1
    assert asked.outputs


@BOUNDED
@given(request=REQUEST, rest=st.binary(max_size=200) | st.just(bytes(192)), slip=st.integers(-3, 3))
def test_a_generated_request_is_answered(request: Any, rest: bytes, slip: int, server: Running) -> None:
    head = json.dumps(request).encode()
    _answer(server, head + rest, str(len(head) + slip))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data(), num_frames=st.integers(1, 3))
def test_a_whole_request_with_a_part_of_it_spoilt_is_answered(
    data: st.DataObject, num_frames: int, server: Running
) -> None:
    frames = frames_of(num_frames)
    tensor = {"name": "frames", "shape": list(frames.shape), "datatype": "UINT8",
              "parameters": {"binary_data_size": frames.nbytes}}  # fmt: skip
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = bytearray(head + frames.tobytes())
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=2), label="places"):
        body[place] = data.draw(st.integers(0, 255), label="byte")
    cut = data.draw(st.integers(0, 3), label="cut")
    header = data.draw(
        st.sampled_from([str(len(head))] * 3 + ["", "0", "-1", "1e3", str(len(body) + 1)]), label="header"
    )
    reply = _answer(server, bytes(body[: len(body) - cut]), header)
    if reply.status == 200:
        said = json.loads(reply.body[: int(reply.headers[HEADER.lower()])])
        sizes = [output["parameters"]["binary_data_size"] for output in said["outputs"]]
        assert sum(sizes) == len(reply.body) - int(reply.headers[HEADER.lower()])
        shapes = [math.prod(output["shape"]) for output in said["outputs"]]
        assert shapes[0] == 3 * said["outputs"][0]["shape"][0]


def test_it_still_answers_after_all_that(server: Running) -> None:
    assert server.ask("GET", "/v2/health/ready").json == {"ready": True}
