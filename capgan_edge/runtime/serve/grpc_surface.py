"""The gRPC surface: KServe's servicer, with bounds, a token, TLS, and errors of one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from grpc import aio
from grpc_interceptor.server import AsyncServerInterceptor
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.dataplane import ClosedRepository, EdgeDataPlane
from capgan_edge.runtime.serve.frontier import refuse_stranger
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.refusals import refusal_from

_SERVICE = "/inference.GRPCInferenceService/"
_OPEN_METHODS = (_SERVICE + "ServerLive", _SERVICE + "ServerReady")


class _Guard(AsyncServerInterceptor):
    """Ask for the token, and turn every failure into a status and one line."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def intercept(self, method: Callable[..., Any], request: Any, context: Any, method_name: str) -> Any:
        try:
            if self._token is not None and method_name not in _OPEN_METHODS:
                said = {item.key: item.value for item in context.invocation_metadata() or ()}
                given = said.get("authorization", "")
                refuse_stranger(self._token, given if isinstance(given, bytes) else given.encode())
            return await method(request, context)
        except Exception as error:
            refusal = refusal_from(error)
            metrics.REFUSED.labels(status=str(int(refusal.status))).inc()
        return await context.abort(refusal.grpc_code, refusal.line)  # raises


class _Servicer(InferenceServicer):  # type: ignore[misc]
    """KServe's, which lets the repository refuse."""

    async def RepositoryModelLoad(self, request: Any, context: Any) -> NoReturn:  # noqa: N802 - gRPC's name
        await self._mode_repository_extension.load(request.model_name)
        raise AssertionError("the repository refuses")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> NoReturn:  # noqa: N802 - gRPC's name
        await self._mode_repository_extension.unload(request.model_name)
        raise AssertionError("the repository refuses")


def grpc_server(
    dataplane: EdgeDataPlane, repository: ClosedRepository, *, limits: Limits, token: str | None
) -> aio.Server:
    """Return a server without an address, in the running event loop; gRPC itself bounds what decompression gives."""
    options = [
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # else two servers share a port, and each gets half of the requests
    ]
    server = aio.server(interceptors=(_Guard(token),), options=options,
                        maximum_concurrent_rpcs=limits.max_open_requests)  # fmt: skip
    add_GRPCInferenceServiceServicer_to_server(_Servicer(dataplane, repository), server)
    return server


def bind_grpc(server: aio.Server, host: str, port: int, tls: tuple[bytes, bytes] | None) -> int:
    """Listen on an address and return the port, which is a free one for 0; `tls` is key and certificate."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, grpc.ssl_server_credentials([tls])))
    except RuntimeError as error:
        raise ConfigError(
            f"expected to serve gRPC on {address}, but it cannot be bound; choose another port"
        ) from error
