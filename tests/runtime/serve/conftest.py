"""One server for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_process import ClientProcess
from serving import Running, load

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.server import Place


@pytest.fixture(scope="session")
def server(shared_bundle: Bundle) -> Iterator[Running]:
    limits = Limits(max_body_mib=1, max_megapixels=0.1, client_timeout_s=10)
    with Running(load(shared_bundle), limits=limits, place=Place(port=0, grpc_port=0)) as running:
        yield running


@pytest.fixture(scope="session")
def client_process() -> Iterator[ClientProcess]:
    process = ClientProcess()
    yield process
    process.close()
