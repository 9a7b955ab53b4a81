"""Whatever comes over REST: an answer in the protocol's form, never a 500, never a traceback, never a held place."""

from __future__ import annotations

import gzip
import io
import json
import socket
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from serving import (
    NAME,
    PATIENCE_S,
    Running,
    binary_request,
    frames_of,
    json_request,
    load,
    logits_of,
    output,
)

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.serve.limits import Limits

INFER = f"/v2/models/{NAME}/infer"
CLASSIFY = f"/v2/models/{NAME}/classify"
HEADER = "Inference-Header-Content-Length"


class Case(NamedTuple):
    name: str
    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]
    status: int
    message: str


def _changed(**changes: Any) -> bytes:
    held = json_request(frames_of(1))
    held["inputs"][0] |= changes
    return json.dumps(held).encode()


def _beside(value: bytes) -> bytes:
    """A whole request with a member that nobody asked for."""
    return _changed()[:-1] + b', "y": ' + value + b"}"


WHOLE, NUM_JSON = binary_request(frames_of(2))
CASES = [
    Case("unknown route", "GET", "/v3/none", None, {}, 404, "Not Found"),
    Case("V1 protocol", "POST", f"/v1/models/{NAME}:predict", b"{}", {}, 404, "Not Found"),
    Case("wrong verb", "GET", INFER, None, {}, 405, "Method Not Allowed"),
    Case("a version", "GET", f"/v2/models/{NAME}/versions/1", None, {}, 404, "without versions"),
    Case("unknown model", "POST", "/v2/models/none/infer", _changed(), {}, 404, "none does not exist"),
    Case("unknown model, image", "POST", "/v2/models/none/classify", b"x", {}, 404, "none does not exist"),
    Case("unknown model, about", "GET", "/v2/models/none/about", None, {}, 404, "none does not exist"),
    Case("load", "POST", f"/v2/repository/models/{NAME}/load", b"", {}, 403, "start another server"),
    Case("unload", "POST", f"/v2/repository/models/{NAME}/unload", b"", {}, 403, "stop the server"),
    Case("no body", "POST", INFER, b"", {}, 400, "got none"),
    Case("no JSON", "POST", INFER, b"hello", {}, 400, "expected a JSON object"),
    Case("not UTF-8", "POST", INFER, b"\xff\xfe", {}, 400, "expected a JSON object"),
    Case("a list", "POST", INFER, b"[]", {}, 400, "got list"),
    Case("deep", "POST", INFER, b"[" * 100_000, {}, 400, "expected a JSON object"),
    Case("brackets", "POST", INFER, _beside(b"[" + b",".join([b"[]"] * 20_000) + b"]"), {}, 400,
         "expected a JSON object of at most 19688 lists and objects, got 20"),
    Case("objects", "POST", INFER, _beside(b"[" + b",".join([b"{}"] * 20_000) + b"]"), {}, 400, "lists and objects"),
    Case("numbers", "POST", INFER, _beside(b"[" + b",".join([b"1"] * 80_000) + b"]"), {}, 413,
         "expected a JSON object of at most 49152 numbers, got 80"),
    Case("brackets in gzip", "POST", INFER, gzip.compress(_beside(b"[" + b",".join([b"[]"] * 300_000) + b"]")),
         {"Content-Encoding": "gzip"}, 400, "lists and objects"),
    Case("lists too deep", "POST", INFER, _changed(data=[[[[[1] * 3] * 8] * 8]]), {}, 400, "there is list among them"),
    Case("deep and empty", "POST", INFER, _changed(data=[[[[]]]]), {}, 400, "there is an empty list among them"),
    Case("long shape", "POST", INFER, _changed(shape=[1] * 9), {}, 400, "a few whole numbers"),
    Case("many outputs", "POST", INFER, json.dumps(json_request(frames_of(1), outputs=[{"name": "logits"}] * 17))
         .encode(), {}, 400, "expected at most 16 outputs, got 17"),
    Case("a version in the body", "POST", INFER, json.dumps(json_request(frames_of(1), model_version="1")).encode(),
         {}, 404, "without versions"),
    Case("a long name", "POST", INFER, _changed(name="x" * 900_000), {}, 400, "expected the input frames UINT8"),
    Case("header 0", "POST", INFER, WHOLE, {HEADER: "0"}, 400,
         "expected a JSON object before the tensors, got 0 bytes"),
    Case("no inputs", "POST", INFER, b"{}", {}, 400, "expected inputs to be a list"),
    Case("two inputs", "POST", INFER, b'{"inputs": [{}, {}]}', {}, 400, "expected one input, frames, got 2"),
    Case("no name", "POST", INFER, b'{"inputs": [{}]}', {}, 400, "expected name to be a text"),
    Case("id is no text", "POST", INFER, json.dumps(json_request(frames_of(1), id=7)).encode(), {}, 400, "expected id"),
    Case("shape of texts", "POST", INFER, _changed(shape=["1", 8, 8, 3]), {}, 400, "whole numbers"),
    Case("shape below 0", "POST", INFER, _changed(shape=[-1, 8, 8, 3]), {}, 400, "got [-1, 8, 8, 3]"),
    Case("huge shape", "POST", INFER, _changed(shape=[1 << 62, 8, 8, 3]), {}, 400, "check the shape"),
    Case("shape of true", "POST", INFER, _changed(shape=[True, 8, 8, 3]), {}, 400, "whole numbers"),
    Case("data is an object", "POST", INFER, _changed(data={}), {}, 400, "data as a list"),
    Case("data is empty", "POST", INFER, _changed(data=[]), {}, 400, "expected the pixels"),
    Case("data too short", "POST", INFER, _changed(data=[1, 2, 3]), {}, 400, "got 3; check the shape"),
    Case("floats", "POST", INFER, _changed(data=[0.5] * 192), {}, 400, "there is float among them"),
    Case("texts", "POST", INFER, _changed(data=["9" * 99] + ["1"] * 191), {}, 400, "there is str among them"),
    Case("true", "POST", INFER, _changed(data=[True] * 192), {}, 400, "there is bool among them"),
    Case("256", "POST", INFER, _changed(data=[256] * 192), {}, 400, "range(0, 256)"),
    Case("below 0", "POST", INFER, _changed(data=[-1] * 192), {}, 400, "range(0, 256)"),
    Case("a big number", "POST", INFER, _changed(data=[1 << 62] * 192), {}, 400, "whole numbers in [0, 255]"),
    Case("FP16 in JSON", "POST", INFER, _changed(datatype="FP16"), {}, 400, "got frames FP16"),
    Case("parameters", "POST", INFER, _changed(parameters=[1]), {}, 400, "expected parameters to be an object"),
    Case("timeout", "POST", INFER, json.dumps(json_request(frames_of(1), parameters={"timeout": "1"})).encode(), {},
         400, "microseconds"),
    Case("outputs", "POST", INFER, json.dumps(json_request(frames_of(1), outputs=[{"name": "x"}])).encode(), {}, 400,
         "expected outputs among logits"),
    Case("an output twice", "POST", INFER,
         json.dumps(json_request(frames_of(1), outputs=[{"name": "logits"}] * 2)).encode(), {}, 400, "each once"),
    Case("classification", "POST", INFER, json.dumps(json_request(frames_of(1), outputs=[
        {"name": "logits", "parameters": {"classification": 2}}])).encode(), {}, 400, "which is not offered"),
    Case("binary_data of text", "POST", INFER, json.dumps(json_request(frames_of(1), outputs=[
        {"name": "logits", "parameters": {"binary_data": "yes"}}])).encode(), {}, 400, "true or false"),
    Case("header too long", "POST", INFER, WHOLE, {HEADER: str(len(WHOLE) + 1)}, 400, "at most the body's"),
    Case("header below 0", "POST", INFER, WHOLE, {HEADER: "-1"}, 400, "count the bytes of JSON"),
    Case("header no number", "POST", INFER, WHOLE, {HEADER: "9" * 5000}, 400, "count the bytes of JSON"),
    Case("header too short", "POST", INFER, WHOLE, {HEADER: "10"}, 400, "expected a JSON object of 10 bytes"),
    Case("header missing", "POST", INFER, WHOLE, {}, 400, "expected a JSON object"),
    Case("bytes missing", "POST", INFER, WHOLE[:-1], {HEADER: str(NUM_JSON)}, 400, "expected binary_data_size"),
    Case("bytes left over", "POST", INFER, WHOLE + b"x", {HEADER: str(NUM_JSON)}, 400, "expected binary_data_size"),
    Case("bytes after JSON data", "POST", INFER, _changed() + b"xyz", {HEADER: str(len(_changed()))}, 400, "got 3"),
    Case("both", "POST", INFER, _changed(parameters={"binary_data_size": 0}), {}, 400, "got both"),
    Case("unknown encoding", "POST", INFER, b"x", {"Content-Encoding": "br"}, 415, "gzip, deflate or none, got br"),
    Case("no gzip", "POST", INFER, b"plain", {"Content-Encoding": "gzip"}, 400, "expected a compressed body"),
    Case("cut gzip", "POST", INFER, gzip.compress(_changed())[:-9], {"Content-Encoding": "gzip"}, 400, "got a part"),
    Case("two gzips", "POST", INFER, gzip.compress(b"{}") * 2, {"Content-Encoding": "gzip"}, 400, "one compressed"),
    Case("gzip bomb", "POST", INFER, gzip.compress(bytes(64 << 20)), {"Content-Encoding": "gzip"}, 413, "1 MiB"),
    Case("deflate bomb", "POST", INFER, zlib.compress(bytes(64 << 20)), {"Content-Encoding": "deflate"}, 413, "1 MiB"),
    Case("too large", "POST", INFER, bytes(3 << 20), {}, 413, "expected a body of at most 1 MiB"),
    Case("no image", "POST", CLASSIFY, b"hello", {}, 400, "expected a JPEG or PNG, got neither"),
    Case("empty image", "POST", CLASSIFY, b"", {}, 400, "expected a JPEG or PNG"),
    Case("a cloud event", "POST", INFER, b"{}", {"ce-id": "1", "ce-specversion": "1.0", "ce-type": "t",
                                                 "ce-source": "s"}, 400, "expected inputs"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_failure_is_one_line_in_the_protocols_form(case: Case, server: Running) -> None:
    reply = server.ask(case.method, case.path, case.body, case.headers)
    assert (reply.status, reply.headers["content-type"]) == (case.status, "application/json")
    assert case.message in reply.error


def _encoded(image: Image.Image, kind: str, **settings: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **settings)
    return held.getvalue()


def _png16(*, color_type: int) -> bytes:
    """A PNG of 9 x 9 with two bytes a channel, which Pillow cannot write, and reads without a word as one byte."""
    num_channels = {2: 3, 6: 4}[color_type]
    rows = (b"\0" + bytes(2 * num_channels * 9)) * 9
    held = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", 9, 9, 16, color_type, 0, 0, 0)),
                       (b"IDAT", zlib.compress(rows)),
                       (b"IEND", b"")):  # fmt: skip
        held += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return held


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_encoded_image_of_any_size_is_classified(kind: str, server: Running) -> None:
    reply = server.ask(
        "POST", CLASSIFY, _encoded(Image.new("RGB", (90, 41), (20, 200, 30)), kind), {"Content-Type": "x"}
    )
    said = reply.json
    assert (reply.status, said["model_name"], said["label"], said["index"]) == (200, NAME, "yield", 1)
    assert said["raw_label"] != "yield"
    assert said["is_alarm"] is None
    assert 0.3 < said["suspicion"] < 0.35
    assert said["parameters"]["capgan_artifact"] == "model.fp32.onnx"


@pytest.mark.parametrize(
    ("image", "status", "message"),
    [
        (_encoded(Image.new("RGB", (900, 900)), "PNG"), 413, "at most 100000 pixels, got 900 x 900"),
        (_encoded(Image.new("I;16", (9, 9)), "PNG"), 400, "8 bits a channel, got one of 16; save it with 8 first"),
        (_png16(color_type=2), 400, "8 bits a channel, got one of 16; save it with 8 first"),
        (_png16(color_type=6), 400, "8 bits a channel, got one of 16; save it with 8 first"),
        (_encoded(Image.new("RGB", (90, 90)), "PNG")[:-40], 400, "expected a whole JPEG or PNG"),
        (_encoded(Image.new("RGB", (90, 90)), "BMP"), 400, "got neither"),
    ],
    ids=["too many pixels", "16 bits grey", "16 bits RGB", "16 bits RGBA", "cut", "another format"],
)
def test_an_image_that_cannot_be_taken_is_one_line(image: bytes, status: int, message: str, server: Running) -> None:
    reply = server.ask("POST", CLASSIFY, image)
    assert reply.status == status
    assert message in reply.error


def test_json_needs_no_content_type_and_takes_any(server: Running) -> None:
    frames = frames_of(2)
    body = json.dumps(json_request(frames)).encode()
    for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}):
        reply = server.ask("POST", INFER, body, headers)
        np.testing.assert_allclose(output(reply, "logits"), logits_of(frames), rtol=1e-5)
        assert reply.headers["content-type"] == "application/json"
        assert HEADER.lower() not in reply.headers


def test_what_is_null_is_as_good_as_not_there_and_no_answer_says_null(server: Running) -> None:
    frames = frames_of(2)
    held = json_request(frames, id=None, model_version=None, outputs=None, parameters={"timeout": None, "mine": [1]})
    held["inputs"][0]["parameters"] = {"binary_data_size": None}
    reply = server.infer(held)
    np.testing.assert_allclose(output(reply, "logits"), logits_of(frames), rtol=1e-5)
    assert b"null" not in reply.body
    assert "model_version" not in reply.json
    assert "mine" not in reply.json["parameters"]
    assert server.ask("GET", f"/v2/models/{NAME}").json["versions"] == []


def test_no_answer_with_tensors_behind_it_says_null(server: Running) -> None:
    frames = frames_of(2)
    body, num_json = binary_request(
        frames, outputs=[{"name": "logits", "parameters": {"binary_data": True}}, {"name": "suspicion"}]
    )
    reply = server.ask("POST", INFER, body, {HEADER: str(num_json)})
    size = int(reply.headers[HEADER.lower()])
    head = json.loads(reply.body[:size])
    assert b"null" not in reply.body[:size]
    assert "model_version" not in head
    assert [held["name"] for held in head["outputs"]] == ["logits", "suspicion"]
    assert len(head["outputs"][1]["data"]) == 2
    logits_NK = np.frombuffer(reply.body[size:], "<f4").reshape(head["outputs"][0]["shape"])
    np.testing.assert_allclose(logits_NK, logits_of(frames), rtol=1e-5)


def test_the_largest_nested_request_is_taken(shared_bundle: Bundle) -> None:
    limits = Limits(max_queue=8)
    with Running(load(shared_bundle), limits=limits) as running:
        frames = frames_of(8)
        np.testing.assert_allclose(output(running.infer(json_request(frames)), "logits"), logits_of(frames), rtol=1e-5)


def test_binary_answers_say_so_in_their_headers(server: Running) -> None:
    frames = frames_of(2)
    body, num_json = binary_request(frames, parameters={"binary_data_output": True}, outputs=[{"name": "purified"}])
    reply = server.ask("POST", INFER, body, {HEADER: str(num_json)})
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.body[int(reply.headers[HEADER.lower()]) :] == (255 - frames).tobytes()


def test_a_flat_list_and_a_nested_one_are_the_same(server: Running) -> None:
    frames = frames_of(3)
    held = json_request(frames)
    held["inputs"][0]["data"] = frames.reshape(-1).tolist()
    np.testing.assert_array_equal(
        output(server.infer(held), "logits"), output(server.infer(json_request(frames)), "logits")
    )


def test_expected_bodies_that_are_too_large_are_refused_before_they_are_sent(server: Running) -> None:
    host, port = server.authority.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as client:
        head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_clients_that_leave_in_the_middle_give_their_places_back(shared_bundle: Bundle) -> None:
    with Running(load(shared_bundle), limits=Limits(max_queue=1)) as running:
        host, port = running.authority.split(":")
        for _ in range(12):  # six times the places there are
            with socket.create_connection((host, int(port)), PATIENCE_S) as client:
                client.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
        for _ in range(1000):
            status = running.infer(json_request(frames_of(1))).status
            if status == 200:
                return
            assert status == 503  # until the server has seen that they left
        pytest.fail("places of clients that left were never given back")


def test_a_slow_client_is_given_up_while_others_are_served(shared_bundle: Bundle) -> None:
    with Running(load(shared_bundle), limits=Limits(client_timeout_s=0.5)) as running:
        host, port = running.authority.split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as client:
            client.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
            assert running.infer(json_request(frames_of(1))).status == 200
            said = b""
            while part := client.recv(65536):  # until the server closes
                said += part
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"expected the body within 0.5 s" in said


def test_a_connection_that_says_nothing_does_not_keep_the_server_from_stopping(shared_bundle: Bundle) -> None:
    with Running(load(shared_bundle)) as running:
        host, port = running.authority.split(":")
        client = socket.create_connection((host, int(port)), PATIENCE_S)
        client.sendall(b"POST ")
        assert running.infer(json_request(frames_of(1))).status == 200
    with client:
        assert client.recv(10) == b""


def test_metrics_count_what_happened(server: Running) -> None:
    server.infer(json_request(frames_of(2)))
    server.infer(b"hello")
    reply = server.ask("GET", "/metrics")
    said = reply.body.decode()
    for name in ("request_predict_seconds_count", "capgan_serve_batch_frames_count", "capgan_serve_suspicion_count",
                 'capgan_serve_refused_total{status="400"}'):  # fmt: skip
        (line,) = [line for line in said.splitlines() if line.startswith(name)]
        assert float(line.split()[-1]) >= 1
