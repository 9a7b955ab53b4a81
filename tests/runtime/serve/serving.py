"""A server in a thread of the test's process, plain HTTP to it, and runners that wait or fail when they are told to."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.backends import open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.loading import classifier_from_opened
from capgan_edge.runtime.runner import Outputs, Runner
from capgan_edge.runtime.serve.door import open_kserve

open_kserve()

from capgan_edge.runtime.serve.limits import Limits  # noqa: E402 - after KServe's door
from capgan_edge.runtime.serve.loaded import Loaded  # noqa: E402
from capgan_edge.runtime.serve.server import Addresses, EdgeServer, Place  # noqa: E402

NAME = "tiny"
PATIENCE_S = 30
"""Far above what anything here takes: a test that hangs ends."""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The line of a failure in the protocol's form: one member, one line, nothing of Python."""
        said = self.json
        assert self.status >= 400
        assert list(said) == ["error"], said
        assert "\n" not in said["error"]
        assert "Traceback" not in said["error"]
        return str(said["error"])


def load(bundle: Bundle, around: Callable[[Runner], Runner] = lambda runner: runner) -> Loaded:
    opened = open_runner(bundle, backend="cpu", threads=1)
    return Loaded(bundle, classifier_from_opened(bundle, opened), around(opened.runner))


class Running:
    """A server that runs until the test leaves the block."""

    def __init__(self, loaded: Loaded, *, limits: Limits | None = None, place: Place | None = None) -> None:
        place = place or Place(port=0, grpc_port=None)
        self._server = EdgeServer(NAME, loaded, place=place, limits=limits or Limits(), watch_s=0.05)
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._is_up.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        self._server.stop()

    @property
    def addresses(self) -> Addresses | None:
        return self._server.addresses

    @property
    def http(self) -> str:
        assert self.addresses is not None
        return self.addresses.http

    @property
    def authority(self) -> str:
        return urlsplit(self.http).netloc

    @property
    def grpc(self) -> str:
        assert self.addresses is not None
        assert self.addresses.grpc is not None
        return self.addresses.grpc

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection(self.authority, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def infer(self, body: bytes | dict[str, Any], **headers: str) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/v2/models/{NAME}/infer", data, named)

    def _run(self) -> None:
        try:
            self._server.start(self._note)
        except BaseException as error:
            self.error = error
        finally:
            self._is_up.set()

    def _note(self, addresses: Addresses) -> None:
        self._is_up.set()


class Obedient:
    """A real runner that can be held back, and made to fail."""

    def __init__(self, runner: Runner) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.has_come = threading.Event()
        self.failure: Exception | None = None
        self.batches: list[int] = []
        self._runner = runner

    def __call__(self, frames_NHWC: np.ndarray) -> Outputs:
        self.has_come.set()
        assert self.may_go.wait(PATIENCE_S)
        self.batches.append(len(frames_NHWC))
        if self.failure is not None:
            raise self.failure
        return self._runner(frames_NHWC)

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> Obedient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Poisoned(Obedient):
    """Fails on any batch with a black frame in it."""

    def __call__(self, frames_NHWC: np.ndarray) -> Outputs:
        if not frames_NHWC.reshape(len(frames_NHWC), -1).any(axis=1).all() and self.failure is not None:
            self.batches.append(-len(frames_NHWC))
            raise ArtifactError("expected frames that are not black, got one; turn on the light")
        return self._runner(frames_NHWC)


def frames_of(n: int, seed: int = 0, size_px: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (n, size_px, size_px, 3), dtype=np.uint8)


def logits_of(frames_NHWC: np.ndarray) -> np.ndarray:
    """What the tiny graph gives: ten times the mean of each channel, in [0, 1]."""
    return 10 * frames_NHWC.astype(np.float64).mean(axis=(1, 2)) / 255


def json_request(frames_NHWC: np.ndarray, **more: Any) -> dict[str, Any]:
    tensor = {"name": "frames", "shape": list(frames_NHWC.shape), "datatype": "UINT8", "data": frames_NHWC.tolist()}
    return {"inputs": [tensor], **more}


def binary_request(frames_NHWC: np.ndarray, **more: Any) -> tuple[bytes, int]:
    """Return a body, and how much of it is JSON."""
    tensor = {"name": "frames", "shape": list(frames_NHWC.shape), "datatype": "UINT8",
              "parameters": {"binary_data_size": frames_NHWC.nbytes}}  # fmt: skip
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + frames_NHWC.tobytes(), len(head)


def output(reply: Reply, name: str) -> np.ndarray:
    (tensor,) = [held for held in reply.json["outputs"] if held["name"] == name]
    return np.asarray(tensor["data"]).reshape(tensor["shape"])
