"""What stands in front of every gRPC method: a token, bounds on what is received and held, errors of one line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.frontier import refuse_stranger
from capgan_edge.runtime.serve.gate import Gate
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.reception import Reception
from capgan_edge.runtime.serve.refusals import LOG, Refusal, refusal_from

_SERVICE = "/inference.GRPCInferenceService/"
_INFER = _SERVICE + "ModelInfer"
_OPEN_METHODS = (_SERVICE + "ServerLive", _SERVICE + "ServerReady")
_MAX_QUESTION_BYTES = 4096
"""Of a message that brings no tensor."""


class Guard(aio.ServerInterceptor):  # type: ignore[misc]
    """Serve each method as a stream of one message, which looks the same to a client.

    gRPC would receive the one message of a unary method before any of our code runs: without a token, without a time
    limit, and as many at once as there are calls.
    """

    def __init__(self, gate: Gate, *, limits: Limits, token: str | None) -> None:
        """Let in who bears `token`; requests share the places and bytes of `gate` with those of REST."""
        self._gate, self._limits, self._token = gate, limits, token
        self._reception = Reception(seats=limits.max_receiving, max_waiting=limits.max_open_requests)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the guarded method, as gRPC asks for one."""
        method, name = await continuation(handler_call_details), handler_call_details.method
        if method is None:
            return None

        async def serve(_: object, context: Any) -> None:
            refusal = await self._refusal_or_served(method, name, context)
            if refusal is not None:
                metrics.REFUSED.labels(status=str(int(refusal.status))).inc()
                await context.abort(refusal.grpc_code, refusal.line)  # raises

        return grpc.stream_stream_rpc_method_handler(serve)

    def drain(self) -> None:
        """Give up the clients that are silent: no more calls come in."""
        self._reception.drain()

    async def _refusal_or_served(self, method: Any, name: str, context: Any) -> Refusal | None:
        try:
            if name not in _OPEN_METHODS:
                self._refuse_stranger(context)
            message = await self._reception.receive(context.read, timeout_s=self._limits.client_timeout_s)
            if message is aio.EOF:
                raise Refusal(400, "expected a message, got the end of the call; send one")
            with self._place_for(name, message):
                answer = await method.unary_unary(_parsed(method, message), context)
                await self._send(context, method.response_serializer(answer))
        except Exception as error:
            return refusal_from(error)
        return None

    def _refuse_stranger(self, context: Any) -> None:
        if self._token is not None:
            said = {item.key: item.value for item in context.invocation_metadata() or ()}
            given = said.get("authorization", "")
            refuse_stranger(self._token, given if isinstance(given, bytes) else given.encode())

    @contextlib.contextmanager
    def _place_for(self, name: str, message: bytes) -> Any:
        if name != _INFER:
            if len(message) > _MAX_QUESTION_BYTES:
                raise Refusal(413, f"expected a message of at most {_MAX_QUESTION_BYTES} bytes, got {len(message)}; "
                                   "send tensors to ModelInfer alone")  # fmt: skip
            yield
            return
        with self._gate.entered() as ticket:
            ticket.charge(len(message))
            yield

    async def _send(self, context: Any, answer: bytes) -> None:
        try:
            await asyncio.wait_for(context.write(answer), self._limits.client_timeout_s)
        except asyncio.TimeoutError:
            LOG.info("a client did not take its answer")
            raise Refusal(
                408, f"expected the answer to be taken within {self._limits.client_timeout_s:g} s; read it at once"
            ) from None


def _parsed(method: Any, message: bytes) -> Any:
    try:
        return method.request_deserializer(message)
    except Exception as error:  # protobuf's errors share no base class that is public
        raise Refusal(400, "expected a message of the protocol, got other bytes; see its .proto file") from error
