"""A client of the server that checks every answer: REST with binary tensors, over kept connections."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.endurance.answers import Kind
from capgan_benchmarks.endurance.bench import Questions
from capgan_edge.errors import MissingDependencyError

MODEL = "capgan"
"""The server's own default."""
_HEADER = "Inference-Header-Content-Length"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question."""

    kind: Kind
    status: int | None
    """None: the connection broke, or nothing came."""
    said: str
    """The line of a failure; empty for a result."""
    retry_after: str | None = None


class Client:
    """Ask questions; many at once. An asynchronous context manager."""

    def __init__(self, address: str, questions: Questions) -> None:
        try:
            import aiohttp  # comes with KServe
        except ImportError as error:
            raise MissingDependencyError("aiohttp", "asking a server", "serve") from error
        self._questions = questions
        self._url = f"{address}/v2/models/{MODEL}/infer"
        self._errors = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
        )
        self._num_asked = 0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, number: int) -> Reply:
        """Ask one question, by its number modulo how many there are."""
        which = number % len(self._questions)
        self._num_asked += 1
        asked_as = f"{self._num_asked}"
        body, num_json = infer_body(self._questions.frames_NHWC[which : which + 1], asked_as)
        try:
            async with self._session.post(self._url, data=body, headers={_HEADER: str(num_json)}) as answer:
                data = await answer.read()
                status, headers = answer.status, answer.headers
        except self._errors as error:
            return Reply("lost", None, type(error).__name__)
        if status != 200:
            return Reply("refused" if status == 503 else "lost", status, _line_of(data), headers.get("Retry-After"))
        return Reply(self._kind_of(data, headers.get(_HEADER), which, asked_as), status, "")

    async def ask_frames(self, num_frames: int) -> int | None:
        """Ask for so many frames at once, and return the status of the answer; None where none came."""
        which_N = np.arange(num_frames) % len(self._questions)
        body, num_json = infer_body(self._questions.frames_NHWC[which_N], "frames")
        try:
            async with self._session.post(self._url, data=body, headers={_HEADER: str(num_json)}) as answer:
                await answer.read()
                return answer.status
        except self._errors:
            return None

    def _kind_of(self, data: bytes, num_json: str | None, which: int, asked_as: str) -> Kind:
        try:
            answered_as, logits_NK = read_answer(data, num_json)
        except (ValueError, KeyError, TypeError):
            return "wrong"
        if answered_as != asked_as:
            return "mixed"
        return "wrong" if len(logits_NK) != 1 else self._questions.known.kind_of(which, logits_NK[0])


def infer_body(frames_NHWC: NDArray[np.uint8], asked_as: str) -> tuple[bytes, int]:
    """Return the body of a request for logits, and how much of it is JSON."""
    tensor = {"name": "frames", "shape": list(frames_NHWC.shape), "datatype": "UINT8",
              "parameters": {"binary_data_size": frames_NHWC.nbytes}}  # fmt: skip
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
    head = json.dumps({"id": asked_as, "inputs": [tensor], "outputs": wanted}).encode()
    return head + frames_NHWC.tobytes(), len(head)


def read_answer(data: bytes, num_json: str | None) -> tuple[str, NDArray[np.float64]]:
    """Return the id and the logits [N, K] of an answer; raises ValueError or KeyError where it is none."""
    size = len(data) if num_json is None else int(num_json)
    said: dict[str, Any] = json.loads(data[:size])
    (tensor,) = said["outputs"]
    logits_NK = np.frombuffer(data[size:], "<f4").reshape(tensor["shape"]).astype(np.float64)
    return str(said["id"]), logits_NK


def ask_all(address: str, questions: Questions, numbers: Iterable[int], *, at_once: bool = True) -> list[Reply]:
    """Ask questions, all at once or one after the other, and return the replies in their order."""

    async def work() -> list[Reply]:
        async with Client(address, questions) as client:
            if at_once:
                return list(await asyncio.gather(*(client.ask(number) for number in numbers)))
            return [await client.ask(number) for number in numbers]

    return asyncio.run(work())


def get(address: str, path: str) -> tuple[int, bytes]:
    """Return status and body of a GET."""
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def metrics_of(address: str) -> dict[str, float]:
    """Return what the server counts, by the name of the metric without labels."""
    _, text = get(address, "/metrics")
    rows = [line.split() for line in text.decode().splitlines() if line.startswith("capgan_serve_")]
    return {row[0]: float(row[1]) for row in rows if "{" not in row[0]}


def _line_of(data: bytes) -> str:
    """Return the line of a failure in the protocol's form; text that is not in it begins with a question mark."""
    try:
        said = json.loads(data)
        if list(said) == ["error"] and isinstance(said["error"], str) and "\n" not in said["error"]:
            return said["error"]
    except (ValueError, TypeError):
        pass
    return f"? {data[:100]!r}"
