"""Nothing that is lost or mixed up goes unseen: a server that swaps answers, and a loop that loses frames."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from capgan_benchmarks.endurance.answers import KnownAnswers
from capgan_benchmarks.endurance.bench import Questions
from capgan_benchmarks.endurance.camera_soak import Seen
from capgan_benchmarks.endurance.client import ask_all
from capgan_benchmarks.endurance.load import measured_capacity, offered

QUESTIONS = Questions(
    frames_NHWC=np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(3, 3),
    known=KnownAnswers(10.0 * np.eye(4), tolerance=0.1),
)
Answer = Callable[[int, str], tuple[int, bytes, dict[str, str]] | None]
"""From the question's number and the request's id to status, body and headers; None closes the connection."""


def said(number: int, asked_as: str) -> tuple[int, bytes, dict[str, str]]:
    """The right answer to a question."""
    tensor = {"name": "logits", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"id": asked_as, "outputs": [tensor]}).encode()
    size = {"Inference-Header-Content-Length": str(len(head))}
    return 200, head + QUESTIONS.known.answers_NK[number].astype("<f4").tobytes(), size


def with_another_end(status: int, data: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """The same, its last number changed to 8."""
    return status, data[:-4] + np.array([8.0], "<f4").tobytes(), headers


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # a full queue costs whoever comes next a second
    daemon_threads = True


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = json.loads(body[: int(self.headers["Inference-Header-Content-Length"])])
            came = answer(body[-1], head["id"])
            if came is None:
                self.close_connection = True
                return
            status, data, headers = came
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


REFUSED = (503, b'{"error": "come again later"}', {"Retry-After": "1"})
CASES: dict[str, tuple[Answer, str]] = {
    "right": (said, "right"),
    "another's answer": (lambda number, asked_as: said((number + 1) % 4, asked_as), "mixed"),
    "another's id": (lambda number, asked_as: said(number, "none"), "mixed"),
    "nobody's answer": (lambda number, asked_as: with_another_end(*said(number, asked_as)), "wrong"),
    "no answer at all": (lambda number, asked_as: (200, b"hello", {}), "wrong"),
    "busy": (lambda number, asked_as: REFUSED, "refused"),
    "failed": (lambda number, asked_as: (500, b'{"error": "broken"}', {}), "lost"),
    "gone": (lambda number, asked_as: None, "lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_server_does_is_seen(name: str) -> None:
    answer, kind = CASES[name]
    with serving(answer) as address:
        replies = ask_all(address, QUESTIONS, range(8))
    assert {reply.kind for reply in replies} == {kind}
    assert replies[0].said == {"busy": "come again later", "failed": "broken"}.get(name, replies[0].said)
    assert all(reply.retry_after == "1" for reply in replies if reply.kind == "refused")


def test_open_loop_asks_at_its_rate_and_accounts_for_every_question() -> None:
    turns = iter(range(10_000))
    with serving(lambda number, asked_as: REFUSED if next(turns) % 5 == 0 else said(number, asked_as)) as address:
        asked = offered(address, QUESTIONS, 100.0, 0.5, seed=0)
        capacity, closed = measured_capacity(address, QUESTIONS, 0.2, num_clients=2)
    assert 25 < len(asked.replies) == len(asked.delays_ms) < 80  # Poisson, 50 on average
    kinds = [reply.kind for reply in asked.replies]
    assert kinds.count("refused") + kinds.count("right") == len(kinds)
    assert len(asked.took) == kinds.count("right")
    assert capacity == pytest.approx(sum(reply.kind == "right" for reply in closed.replies) / closed.length_s)


def row(number: int, frame_number: int, frames: int, dropped: int) -> dict[str, Any]:
    return {"kind": "frame", "number": number, "frame_number": frame_number, "age_ms": 5.0,
            "counts": {"frames": frames, "dropped": dropped}}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "uncounted", "missing"),
    [
        ([row(0, 0, 1, 0), row(1, 1, 2, 0), row(2, 4, 3, 2)], 0, 0),
        ([row(0, 0, 1, 0), row(1, 3, 2, 1)], 1, 0),
        ([row(0, 0, 1, 0), row(2, 1, 2, 0)], 0, 1),
    ],
    ids=["drops that are counted", "a frame that vanished", "an event that is missing"],
)
def test_what_a_camera_loop_loses_is_seen(rows: list[dict[str, Any]], uncounted: int, missing: int) -> None:
    seen = Seen(lambda event: "right")
    for at_s, each in enumerate(rows):
        seen.take(each, float(at_s))
    assert (seen.uncounted, seen.missing) == (uncounted, missing)
    assert len(seen.kinds) == len(seen.ages) == len(rows)
