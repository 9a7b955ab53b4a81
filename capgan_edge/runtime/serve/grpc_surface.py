"""The gRPC surface: KServe's servicer behind the guard, on an address."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from grpc import aio
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.serve.dataplane import ClosedRepository, EdgeDataPlane
from capgan_edge.runtime.serve.grpc_guard import Guard
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.refusals import Refusal

_KEEPALIVE_MS = 60_000
"""Between two questions to a silent connection whether its client still lives."""
_MAX_ELEMENT_BYTES = 8
"""Of a number in a message of its own kind: whatever the kind, none has more."""


class _Servicer(InferenceServicer):  # type: ignore[misc]
    """KServe's, which lets the repository refuse, and minds versions."""

    def __init__(self, dataplane: EdgeDataPlane, repository: ClosedRepository) -> None:
        super().__init__(dataplane, repository)
        self._edge = dataplane

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        _refuse_version(request.model_version)
        bounds = self._edge.model(request.model_name).bounds
        num_bytes = sum(tensor.contents.ByteSize() for tensor in request.inputs)
        if num_bytes > _MAX_ELEMENT_BYTES * bounds.max_pixels:
            raise Refusal(413, f"expected at most {bounds.max_pixels} numbers in a request, got more; split it")
        return await super().ModelInfer(request, context)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        _refuse_version(request.version)
        return await super().ModelReady(request, context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        _refuse_version(request.version)
        return await super().ModelMetadata(request, context)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> NoReturn:  # noqa: N802 - gRPC's name
        await self._mode_repository_extension.load(request.model_name)
        raise AssertionError("the repository refuses")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> NoReturn:  # noqa: N802 - gRPC's name
        await self._mode_repository_extension.unload(request.model_name)
        raise AssertionError("the repository refuses")


def _refuse_version(version: str) -> None:
    if version:
        raise Refusal(404, f"expected a model without versions, got {version[:40]!r}; leave the version out")


def grpc_server(dataplane: EdgeDataPlane, repository: ClosedRepository, guard: Guard, *, limits: Limits) -> aio.Server:
    """Return a server without an address, in the running event loop; gRPC itself bounds what decompression gives."""
    timeout_ms = max(1, int(1000 * limits.client_timeout_s))
    options = [
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # else two servers share a port, and each gets half of the requests
        ("grpc.max_concurrent_streams", limits.max_open_requests),
        ("grpc.server_handshake_timeout_ms", timeout_ms),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.bdp_probe", 0),  # else more of a message is taken in than the guard has asked for
    ]
    server = aio.server(interceptors=(guard,), options=options)
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
            f"expected a free port for gRPC at {address}, but another program listens there or the address is not this "
            "machine's; choose another --grpc-port (0 takes a free one), or --no-grpc"
        ) from error
