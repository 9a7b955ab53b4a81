"""One run of `capgan-edge serve`: load, say where it serves, serve."""

from __future__ import annotations

import ipaddress
import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.serve.credentials import check_tls, token_from_file
from capgan_edge.runtime.serve.door import open_kserve
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.stopping import StopSignals


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeRequest:
    """What was asked for on the command line."""

    bundle: Path
    name: str = "capgan"
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = 8081
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    loading: dict[str, Any] = field(default_factory=dict)
    """Backend, precision and the like, as `capgan_edge.load` takes them."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.isascii() or not self.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"expected a name of letters, digits, - and _, got {self.name!r}; it is part of the path")


def run_serve(request: ServeRequest, limits: Limits, *, is_json: bool) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C, also one that comes while it is loaded.

    A line on stdout says when it is ready, and where.
    """
    with StopSignals() as signals:
        tls = check_tls(request.tls_cert, request.tls_key)
        token = None if request.token_file is None else token_from_file(request.token_file)
        open_kserve()
        if not signals.is_asked:
            _load_and_serve(request, limits, signals, tls=tls, token=token, is_json=is_json)


def _load_and_serve(
    request: ServeRequest, limits: Limits, signals: StopSignals, *, tls: tuple[Path, Path] | None, token: str | None,
    is_json: bool,
) -> None:  # fmt: skip
    from capgan_edge.runtime.serve.loaded import load_for_serving
    from capgan_edge.runtime.serve.server import Addresses, EdgeServer, Place

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    place = Place(host=request.host, port=request.port, grpc_port=request.grpc_port, tls=tls, token=token)
    loaded = load_for_serving(request.bundle, **request.loading)
    if loaded.card_warning:
        typer.echo(f"note: {loaded.card_warning}", err=True)
    if not _is_loopback(request.host) and (token is None or tls is None):
        lacks = " and ".join(name for name, held in (("TLS", tls), ("a token", token)) if held is None)
        typer.echo(f"note: {request.host} is open to other machines, without {lacks}", err=True)

    def say(addresses: Addresses) -> None:
        facts = {"name": request.name, "artifact": loaded.artifact, "sha256": loaded.sha256,
                 "precision": loaded.precision, "card": loaded.card_state, **asdict(addresses)}  # fmt: skip
        where = addresses.http if addresses.grpc is None else f"{addresses.http}, gRPC on {addresses.grpc}"
        line = f"serving {request.name} ({loaded.artifact}, card: {loaded.card_state}) on {where}"
        typer.echo(json.dumps(facts) if is_json else line)
        sys.stdout.flush()

    EdgeServer(request.name, loaded, place=place, limits=limits).start(say, signals=signals)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
