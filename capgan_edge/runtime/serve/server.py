"""The life of the server: bind, warm up, serve, and on SIGTERM finish what is in flight."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import uvicorn
from kserve import ModelServer

from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.batching import Batcher
from capgan_edge.runtime.serve.dataplane import ClosedRepository, EdgeDataPlane
from capgan_edge.runtime.serve.frontier import Frontier
from capgan_edge.runtime.serve.gate import Gate
from capgan_edge.runtime.serve.grpc_guard import Guard
from capgan_edge.runtime.serve.grpc_surface import bind_grpc, grpc_server
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.loaded import Loaded
from capgan_edge.runtime.serve.model import PurifiedModel
from capgan_edge.runtime.serve.refusals import LOG
from capgan_edge.runtime.serve.rest import rest_app
from capgan_edge.runtime.serve.stopping import StopSignals

_WATCH_S = 5.0
"""Between two looks at the bundle on disk, in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where and how a server is reached."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    grpc_port: int | None = 8081
    """None serves no gRPC."""
    tls: tuple[Path, Path] | None = None
    """PEM files: a certificate, and its key."""
    token: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """What was bound."""

    http: str
    grpc: str | None


class _Http(uvicorn.Server):
    """Uvicorn that leaves signals to the server around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class EdgeServer(ModelServer):  # type: ignore[misc]
    """KServe's server with one model; its own `start` binds every address, gRPC without TLS, and has no warm-up."""

    def __init__(self, name: str, loaded: Loaded, *, place: Place, limits: Limits, watch_s: float = _WATCH_S) -> None:
        """Prepare to serve `loaded` under `name`; it is closed when the server stops."""
        super().__init__(enable_latency_logging=False, grace_period=int(limits.grace_s) or 1)
        max_batch = limits.max_batch or loaded.max_batch
        if max_batch > loaded.max_batch:
            raise ConfigError(f"expected --max-batch of at most {loaded.max_batch}, which {loaded.artifact} takes, got "
                              f"{max_batch}; build an engine with a larger --batch")  # fmt: skip
        self.dataplane = EdgeDataPlane(self.registered_models)
        self.model_repository_extension = ClosedRepository(self.registered_models)
        self._name, self._loaded, self._place, self._limits = name, loaded, place, limits
        self._max_batch, self._watch_s = max_batch, watch_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked: asyncio.Event | None = None
        self._is_stopped = False
        self.addresses: Addresses | None = None
        """What was bound; None until then."""

    def start(self, on_ready: Callable[[Addresses], None], *, signals: StopSignals | None = None) -> None:
        """Serve until SIGTERM, Ctrl-C or `stop`, which may all have come before.

        Args:
            on_ready: called once, when the model is warm.
            signals: which listen already; None listens from now on.
        """
        with StopSignals() if signals is None else contextlib.nullcontext(signals) as listening:
            listening.then(self.stop)
            asyncio.run(self._serve(on_ready))

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Finish what is in flight, then let `start` return; from any thread, and before `start` as well."""
        self._is_stopped = True
        if self._loop is not None and self._stop_asked is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop_asked.set)

    async def _serve(self, on_ready: Callable[[Addresses], None]) -> None:
        self._stop_asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:  # else `stop` finds the loop
            self._loaded.close()
            return
        limits = self._limits
        gate = Gate(max_open=limits.max_open_requests, max_bytes=limits.max_held_bytes)
        guard = Guard(gate, limits=limits, token=self._place.token)
        batcher = Batcher(self._loaded.run, max_batch=self._max_batch, max_wait_ms=limits.max_wait_ms,
                          max_queue=limits.max_queue)  # fmt: skip
        model = PurifiedModel(self._name, self._loaded, batcher)
        self.register_model(model)
        with contextlib.ExitStack() as undo:
            undo.callback(self._loaded.close)
            undo.callback(batcher.close)
            listening = _bound_socket(self._place.host, self._place.port)
            undo.callback(listening.close)
            rpc, grpc_port = self._rpc(guard)
            addresses = self.addresses = self._addresses(listening, grpc_port)
            http = self._http(gate)
            working = asyncio.create_task(batcher.work())
            serving = asyncio.create_task(http.serve(sockets=[listening]))
            if rpc is not None:
                await rpc.start()
            ready = asyncio.create_task(self._warm(model, lambda: on_ready(addresses)))
            watching = asyncio.create_task(self._watch())
            asked = asyncio.create_task(self._stop_asked.wait())
            try:
                await _first_end(asked, serving, working, ready)
            finally:
                self.dataplane.is_draining = True
                http.should_exit = True
                guard.drain()
                ends = [serving] if rpc is None else [serving, rpc.stop(limits.grace_s)]
                await asyncio.gather(*ends, return_exceptions=True)
                for task in (ready, watching, asked, working):
                    task.cancel()
                await asyncio.gather(ready, watching, asked, working, return_exceptions=True)

    async def _warm(self, model: PurifiedModel, on_ready: Callable[[], None]) -> None:
        await model.warm_up()
        on_ready()
        await asyncio.Event().wait()  # until cancelled: its end before that is a failure

    async def _watch(self) -> None:
        """Say once in the log that the bundle on disk is not the one served any more."""
        while (state := await asyncio.to_thread(self._loaded.on_disk)) == "as loaded":
            await asyncio.sleep(self._watch_s)
        metrics.REPLACED.set(1)
        LOG.warning("the bundle on disk is %s; still serving %s %s: start the server again to serve what is there",
                    state, self._loaded.artifact, self._loaded.sha256[:12])  # fmt: skip

    def _http(self, gate: Gate) -> _Http:
        app = rest_app(self.dataplane, self.model_repository_extension,
                       max_pixels=int(self._limits.max_megapixels * 1e6))  # fmt: skip
        certificate, key = self._place.tls or (None, None)
        config = uvicorn.Config(
            Frontier(app, gate=gate, limits=self._limits, token=self._place.token),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=int(self._limits.grace_s) or 1,
            timeout_keep_alive=max(1, int(self._limits.client_timeout_s)),
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        return _Http(config)

    def _rpc(self, guard: Guard) -> tuple[grpc.aio.Server | None, int | None]:
        """Return the gRPC server and its port, where gRPC is wanted."""
        place, tls = self._place, None
        if place.grpc_port is None:
            return None, None
        if place.tls is not None:
            certificate, key = place.tls
            tls = key.read_bytes(), certificate.read_bytes()
        rpc = grpc_server(self.dataplane, self.model_repository_extension, guard, limits=self._limits)
        return rpc, bind_grpc(rpc, place.host, place.grpc_port, tls)

    def _addresses(self, listening: socket.socket, grpc_port: int | None) -> Addresses:
        host = f"[{self._place.host}]" if ":" in self._place.host else self._place.host
        scheme = "http" if self._place.tls is None else "https"
        return Addresses(http=f"{scheme}://{host}:{listening.getsockname()[1]}",
                         grpc=None if grpc_port is None else f"{host}:{grpc_port}")  # fmt: skip


def _bound_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"expected a free port for REST at {host}:{port}, but another program listens there; "
                "choose another --port (0 takes a free one)"
            ) from error
        raise ConfigError(
            f"expected to serve on {host}:{port}, but: {getattr(error, 'strerror', None) or error}; "
            "choose another --host or --port"
        ) from error


async def _first_end(asked: asyncio.Task[bool], *others: asyncio.Task[None]) -> None:
    """Return when a stop was asked for; raise where anything else ended before."""
    done, _ = await asyncio.wait((asked, *others), return_when=asyncio.FIRST_COMPLETED)
    if asked in done:
        return
    for task in done:
        task.result()
    raise CapganError("expected the server to run until it is told to stop, but a part of it ended; start it again")
