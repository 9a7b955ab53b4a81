"""A process for clients that cannot share one with the server: see grpc_calls.py."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE_S = 60


class ClientProcess:
    """Calls functions elsewhere."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def __call__(self, function: Callable[..., T], *arguments: Any, **settings: Any) -> T:
        return self._pool.submit(function, *arguments, **settings).result(PATIENCE_S)

    def close(self) -> None:
        self._pool.shutdown()
