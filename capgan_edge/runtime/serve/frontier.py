"""The layer in front of KServe's routes: who may come in, how much they bring, and errors in the protocol's form."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.body import ClientGoneError, number_from_header, read_body
from capgan_edge.runtime.serve.gate import Gate
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.refusals import LOG, Refusal, refusal_from
from capgan_edge.runtime.serve.rest_request import HEADER

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")
"""What an orchestrator asks without a token."""


class Frontier:
    """An ASGI application around another."""

    def __init__(self, app: App, *, gate: Gate, limits: Limits, token: str | None) -> None:
        self._app = app
        self._limits = limits
        self._token = token
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # neither websockets nor a lifespan are served
        answer = _Answer(send, self._limits.client_timeout_s)
        try:
            self._refuse_stranger(scope)
            if scope["method"] == "POST":
                await self._pass_with_body(scope, receive, answer)
            else:
                await self._app(scope, _receiver(b""), answer.send)
        except ClientGoneError:
            LOG.info("a client left before its request was answered")
        except Exception as error:
            refusal = refusal_from(error)
            if not answer.has_started:
                await answer.refuse(refusal)

    async def _pass_with_body(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = dict(scope["headers"])
        with self._gate.entered() as ticket:
            body = await read_body(receive, headers, self._limits, ticket)
            if scope["path"].endswith("/infer"):
                scope = _as_binary(scope, headers, len(body))
            await self._app(scope, _receiver(body), answer.send)

    def _refuse_stranger(self, scope: Scope) -> None:
        if self._token is None or scope["path"] in OPEN_PATHS:
            return
        refuse_stranger(self._token, dict(scope["headers"]).get(b"authorization", b""))


def refuse_stranger(token: str, authorization: bytes) -> None:
    """Raise a 401 unless `authorization` is `Bearer` and the token; takes as long for every wrong one."""
    kind, _, given = authorization.partition(b" ")
    if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token.encode()):
        raise Refusal(401, "expected the header Authorization: Bearer TOKEN, got another or none; send the token")


class _Answer:
    """What goes back to one client, which may be slow to take it."""

    def __init__(self, send: Send, timeout_s: float) -> None:
        self._send, self._timeout_s = send, timeout_s
        self.has_started = False

    async def send(self, message: Any) -> None:
        """Pass on one message of ASGI; an answer without a type is JSON, unless it says that tensors follow."""
        if message["type"] == "http.response.start":
            self.has_started = True
            names = {name for name, _ in message["headers"]}
            if b"content-type" not in names:
                kind = b"application/octet-stream" if HEADER.encode() in names else b"application/json"
                message = {**message, "headers": [*message["headers"], (b"content-type", kind)]}
            if message["status"] >= 400:
                metrics.REFUSED.labels(status=str(message["status"])).inc()
        try:
            await asyncio.wait_for(self._send(message), self._timeout_s)
        except asyncio.TimeoutError:
            raise ClientGoneError from None

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error in the protocol's form."""
        body = json.dumps({"error": refusal.line}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            await self.send({"type": "http.response.start", "status": int(refusal.status), "headers": encoded})
            await self.send({"type": "http.response.body", "body": body})
        except ClientGoneError:
            LOG.info("a client left before its request was answered")


def _receiver(body: bytes) -> Receive:
    """Return ASGI's receive for a body that is already here."""

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _as_binary(scope: Scope, headers: dict[bytes, bytes], num_bytes: int) -> Scope:
    """Return the scope of an inference request as KServe's binary path takes it: all requests go one way.

    Its JSON path needs a Content-Type, which tritonclient does not send, and checks less.
    """
    said = headers.get(HEADER.encode())
    num_json_bytes = num_bytes if said is None else number_from_header(said)
    if num_json_bytes is None or num_json_bytes > num_bytes:
        raise Refusal(400, f"expected {HEADER} to be at most the body's {num_bytes} bytes, "
                           f"got {(said or b'')[:40].decode('latin-1')!r}; count the bytes of JSON")  # fmt: skip
    if not num_bytes:
        raise Refusal(400, "expected a request in the body, got none; see /openapi.json")
    if not num_json_bytes:
        raise Refusal(400, f"expected a JSON object before the tensors, got 0 bytes of it; say its length in {HEADER}, "
                           "or leave the header out where all is JSON")  # fmt: skip
    rewritten = {
        b"content-type": b"application/octet-stream",
        b"content-length": str(num_bytes).encode(),
        HEADER.encode(): str(num_json_bytes).encode(),
    }
    dropped = {*rewritten, b"content-encoding", b"transfer-encoding"}
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
    return {**scope, "headers": [*kept, *rewritten.items()]}
